"""The broadcast's policy: what is sent to whom, how often, in which order, and what a slow client loses.

Pure: time is an argument, a client's line is a `Peer`. The methods are called by one thread.

    publish ─▶ pace ─▶ number, ring, last known ─▶ tick ─▶ flush: joined frames, once for all clients who want the same
                                                                └▶ a client that is behind: its own queue

`seq` rises by one with every message, wanted or not, and no client ever sees it fall. It begins at a number that the
composition root takes from the clock, in microseconds: a hub that starts later numbers higher than any before it ever
did, as none makes a million messages a second, so a number of another life is never taken for one of this.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from flows.clock import Now
from flows.model import (
    BookTicker,
    BookView,
    Candle,
    FeedStatus,
    Heartbeat,
    Incident,
    InstrumentStatus,
    MarketData,
    Publishable,
    Stats24h,
    Ticker,
    TradeBatch,
)
from sinks.hub.client import Client, Peer
from sinks.hub.fanout import Counters, Fanout
from sinks.hub.hub_settings import HubSettings
from sinks.hub.messages import Encoding, Envelope, Message, Sendable, Topic
from sinks.hub.payloads import ChartNews, HeartbeatNews, InstrumentNews, LineNews, iso_utc
from sinks.hub.replay_buffer import ReplayBuffer
from sinks.hub.replies import Answer, ErrorData, Pong, Reset, SubscribedData, snapshot_parts
from sinks.hub.state import LastKnown
from sinks.hub.subscription import Ping, RequestError, Rule, Subscription, parse_request
from sinks.hub.throttle import Conflator
from sinks.hub.tombstones import Departed

FORMING_MS: Final = 100
"""Least time between two versions of the same forming candle."""
TRADES_A_MESSAGE: Final = 500
TICK_LIMIT: Final = 500
"""Messages that are sent without waiting for the end of the tick."""


class Hub:
    """Numbers the news of one venue and fans them out. See the module for the way they take."""

    def __init__(self, settings: HubSettings, *, venue: str, origin: str, first_seq: int) -> None:
        self._settings = settings
        self._venue = venue
        self._origin = origin
        self._seq = first_seq
        self._recent = ReplayBuffer(settings.ring)
        self._known = LastKnown()
        self._prices: Conflator[str, MarketData] = Conflator(1_000 / settings.rate)
        self._newest_price: dict[str, MarketData] = {}
        self._stats: dict[str, Stats24h] = {}
        self._best: Conflator[str, BookTicker] = Conflator(1_000 / settings.rate)
        self._forming: Conflator[tuple[str, str], Candle] = Conflator(FORMING_MS)
        self._departed = Departed()
        self._tick: list[Message] = []
        self._fanout = Fanout()
        self.published: Counter[str] = Counter()
        """Messages by channel, wanted or not."""
        self._take_by_type: dict[type[Publishable], Callable[[Any, Now], None]] = {
            MarketData: self._take_price,
            Candle: self._take_candle,
            TradeBatch: self._take_trades,
            Stats24h: self._take_stats,
            BookTicker: self._take_quote,
            BookView: self._take_quote,
            Ticker: self._take_quote,
            FeedStatus: self._take_status,
            InstrumentStatus: self._take_state,
            Heartbeat: self._take_heartbeat,
            Incident: self._take_incident,
        }

    @property
    def counters(self) -> Counters:
        """What it has done; the figures move on."""
        return self._fanout.counters

    # --- news ---

    def publish(self, items: Iterable[Publishable], now: Now) -> None:
        """Takes news. They leave with the next `flush`, or at once when there are many."""
        for item in items:
            # incidents have happened all the same
            if isinstance(item, FeedStatus | Incident | Heartbeat) or not self._departed.is_late(
                item.symbol, now.local
            ):
                self._take(item, now)
            if len(self._tick) >= TICK_LIMIT:
                self.flush(now)

    def on_time(self, now: Now) -> None:
        """Lets out what was held back and whose turn has come."""
        local = now.local
        self._let_out(self._prices.take_due(local), self._best.take_due(local), self._forming.take_due(local), now)

    @property
    def next_turn_ms(self) -> float | None:
        """Local time at which `on_time` has something to do; None: nothing."""
        paces = self._prices, self._best, self._forming
        return min((turn for pace in paces if (turn := pace.next_turn_ms) is not None), default=None)

    def release(self, now: Now) -> None:
        """Lets out all that is held back, for the end."""
        self._let_out(self._prices.take_all(), self._best.take_all(), self._forming.take_all(), now)

    def _let_out(
        self, prices: Iterable[MarketData], quotes: Iterable[BookTicker], candles: Iterable[Candle], now: Now
    ) -> None:
        for data in prices:
            self._emit_price(data, now)
        for best in quotes:
            self._emit_latest("BookTicker", best, now)
        for candle in candles:
            self._emit_forming(candle, now)

    def on_loss(self, count: int, now: Now) -> None:
        """News were lost before they came here: every client may have wanted them, and is told."""
        self.flush(now)
        self._fanout.lose(count, now)

    def _take(self, item: Publishable, now: Now) -> None:
        kind = type(item)
        take = self._take_by_type.get(kind) or self._learn(kind)
        take(item, now)

    def _learn(self, kind: type[Publishable]) -> Callable[[Any, Now], None]:
        """A venue's own messages are kinds of the model's, and taken as those are."""
        known = next(base for base in kind.__mro__ if base in self._take_by_type)
        take = self._take_by_type[kind] = self._take_by_type[known]
        return take

    def _take_heartbeat(self, beat: Heartbeat, now: Now) -> None:
        self._emit(Topic("Status"), HeartbeatNews(beat, self._origin), now, mergeable=True)

    def _take_incident(self, incident: Incident, now: Now) -> None:
        self._emit(Topic("Incident", incident.symbol), incident, now)

    def _take_status(self, status: FeedStatus, now: Now) -> None:
        message = self._emit(Topic("Status"), LineNews(status, self._origin), now)
        if status.state == "removed":
            self._forget(frozenset(status.symbols), now)
            return
        self._known.put(message, line=status.line)
        if status.state == "live":
            self._departed.come_back(status.symbols)

    def _take_state(self, status: InstrumentStatus, now: Now) -> None:
        """Also one that is published again goes out: who lost it would take an older one for true."""
        news = InstrumentNews(status, self._origin)
        self._known.put(self._emit(Topic("Status", status.symbol), news, now, mergeable=True))

    def _forget(self, symbols: frozenset[str], now: Now) -> None:
        """Symbols have no present any more: who comes later hears nothing of them, and nothing is held of them."""
        self._departed.depart(symbols, now.local)
        self._known.forget(symbols)
        self._prices.forget(symbols.__contains__)
        self._best.forget(symbols.__contains__)
        self._forming.forget(lambda key: key[0] in symbols)
        for symbol in symbols:
            self._newest_price.pop(symbol, None)
            self._stats.pop(symbol, None)
        self._fanout.forget(symbols)

    def _take_quote(self, quote: BookTicker | BookView | Ticker, now: Now) -> None:
        match quote:
            case Ticker():
                self._emit_latest("Ticker", quote, now)
            case BookView():
                self._emit_latest("OrderBook", quote, now)
            case BookTicker() if self._best.offer(quote.symbol, quote, now.local):
                self._emit_latest("BookTicker", quote, now)

    def _take_stats(self, stats: Stats24h, now: Now) -> None:
        """Our own statistics take the place of the exchange's in what is said with a price, once they are complete."""
        symbol = stats.symbol
        self._emit_latest("Stats", stats, now)
        self._stats[symbol] = stats
        if symbol in self._newest_price:
            self._take_price(self._newest_price[symbol], now)

    def _take_price(self, data: MarketData, now: Now) -> None:
        symbol = data.symbol
        stats = self._stats.get(symbol)
        if stats is not None and stats.complete:
            data = _with_stats(data, stats)
        self._newest_price[symbol] = data
        sent = self._known.item(Topic("MarketData", symbol))
        if sent is not None and _figures(sent) == _figures(data):
            self._prices.drop(symbol)  # what was held is over, and clients know the price it went back to
        elif self._prices.offer(symbol, data, now.local):
            self._emit_price(data, now)

    def _take_candle(self, candle: Candle, now: Now) -> None:
        key = (candle.symbol, candle.timeframe)
        if not candle.is_closed:
            if self._forming.offer(key, candle, now.local):
                self._emit_forming(candle, now)
            return
        held = self._forming.held(key)
        if held is not None and held.open_time <= candle.open_time:
            self._forming.drop(key)
        news = ChartNews(candle, self._newest_price.get(candle.symbol))
        for channel, item in (("ChartUpdate", news), ("Candle", candle)):
            message = self._emit(Topic(channel, *key), item, now)
            self._known.put_closed(message, open_time=candle.open_time)

    def _take_trades(self, batch: TradeBatch, now: Now) -> None:
        for begin in range(0, len(batch.trades), TRADES_A_MESSAGE):
            part = batch.trades[begin : begin + TRADES_A_MESSAGE]
            item = TradeBatch(batch.venue, batch.symbol, part, late=batch.late)
            self._emit(Topic("Trade", batch.symbol), item, now)

    def _emit_price(self, data: MarketData, now: Now) -> None:
        self._emit_latest("MarketData", data, now)

    def _emit_latest(
        self, channel: str, item: MarketData | Ticker | BookTicker | BookView | Stats24h, now: Now
    ) -> None:
        """What the next one of the same symbol makes superfluous."""
        self._known.put(self._emit(Topic(channel, item.symbol), item, now, mergeable=True))

    def _emit_forming(self, candle: Candle, now: Now) -> None:
        message = self._emit(Topic("Candle", candle.symbol, candle.timeframe), candle, now, mergeable=True)
        self._known.put_forming(message, open_time=candle.open_time)

    def _emit(self, topic: Topic, item: object, now: Now, *, mergeable: bool = False) -> Message:
        self._seq += 1
        self.published[topic.channel] += 1
        message = Message(topic, item, seq=self._seq, stamp_ms=now.feed, mergeable=mergeable)
        self._recent.put(message)
        if self._fanout:
            self._tick.append(message)
        return message

    # --- clients ---

    def join(
        self,
        peer: Peer,
        now: Now,
        *,
        encoding: Encoding,
        subscription: Subscription,
        resume_after: int | None = None,
    ) -> Client:
        """A client comes. With `resume_after` it first gets what it missed since then, else it begins with the next
        message.
        """
        self.flush(now)
        client = Client(peer, encoding=encoding, subscription=subscription, capacity=self._settings.capacity)
        self._fanout.add(client)
        if resume_after is not None:
            client.put_ahead(self._missed(client, resume_after, now))
            self._fanout.pump(client, now)
        return client

    def leave(self, client: Client) -> None:
        """A client is gone; once is enough."""
        self._fanout.remove(client)

    def on_request(self, client: Client, payload: str | bytes, now: Now) -> None:
        """Answers a client's message. To be called while the client is not behind: one that does not read is not
        listened to either.
        """
        self.flush(now)
        try:
            request = parse_request(payload)
            answers = [self._pong(now)] if isinstance(request, Ping) else self._change(client, request, now)
        except RequestError as error:
            answers = [self._answer("Error", ErrorData(str(error)), now)]
        client.put_ahead(answers)
        self._fanout.pump(client, now)

    def on_writable(self, client: Client, now: Now) -> None:
        """A client's line has room again."""
        client.resume()
        self._fanout.pump(client, now)

    def _change(self, client: Client, rule: Rule, now: Now) -> list[Sendable]:
        subscription = client.subscription.with_rule(rule)
        self._fanout.remove(client)
        client.subscription = subscription
        self._fanout.add(client)
        name = "Subscribed" if rule.wanted else "Unsubscribed"
        data = SubscribedData.of(rule, venue=self._venue, origin=self._origin)
        answer = self._answer(name, data, now)
        return [answer, *self._snapshot(Subscription((rule,)), now)] if rule.wanted else [answer]

    # --- what one client alone gets ---

    def _missed(self, client: Client, after: int, now: Now) -> Iterable[Sendable]:
        missed = self._recent.after(after, newest=self._seq)
        if missed is not None:
            return [message for message in missed if client.subscription.wants(message.topic) and not _is_past(message)]
        return [Answer(Reset()), *self._snapshot(client.subscription, now)]

    def _snapshot(self, subscription: Subscription, now: Now) -> list[Sendable]:
        envelopes = [message.envelope() for message in self._known.messages(subscription.wants)]
        return [self._answer("Snapshot", part, now) for part in snapshot_parts(envelopes)]

    def _pong(self, now: Now) -> Sendable:
        return Answer(Pong(iso_utc(now.feed), self._seq))

    def _answer(self, kind: str, data: Struct, now: Now) -> Sendable:
        return Answer(Envelope(kind, data, iso_utc(now.feed), self._seq))

    # --- sending ---

    def flush(self, now: Now) -> None:
        """Ends the tick: everything in it goes to whom it concerns, or to their queues."""
        messages, self._tick = self._tick, []
        if messages:
            self._fanout.send(messages, now)


def _is_past(message: Message) -> bool:
    """Whether it was about a moment that is over: a sign of life of some time ago is none."""
    return isinstance(message.item, HeartbeatNews)


def _with_stats(data: MarketData, stats: Stats24h) -> MarketData:
    return MarketData(data.venue, data.symbol, data.price, data.time, stats.change, stats.change_percent, stats.volume)


def _figures(data: MarketData) -> tuple[float | None, ...]:
    return data.price, data.price_change_24h, data.price_change_percent_24h, data.volume_24h
