"""The broadcast's policy: what is sent to which client, how often, in which order, and what a slow client loses.

Pure: time is an argument, a client's connection is a `Peer`. The methods are called by one thread.

    publish ─▶ throttle ─▶ number, replay buffer, state ─▶ tick ─▶ flush: joined frames, once for equal subscriptions
                                                                └▶ a client that is behind: its own queue

`seq` rises by one with every message, wanted or not, and no client ever sees it fall. It begins at a number that the
composition root takes from the clock, in microseconds. A hub makes less than a million messages a second, so a later
process always begins with a higher number, and numbers of two processes are never confused.
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
from sinks.hub.derivatives import CHANNEL_OF, Derivatives
from sinks.hub.fanout import Counters, Fanout
from sinks.hub.hub_settings import HubSettings
from sinks.hub.messages import Encoding, Envelope, Message, Sendable, Topic
from sinks.hub.payloads import ChartUpdate, FeedStatusUpdate, HeartbeatUpdate, InstrumentStatusUpdate, iso_utc
from sinks.hub.replay_buffer import ReplayBuffer
from sinks.hub.replies import ErrorData, Pong, Reply, Reset, SubscribedData, snapshot_parts
from sinks.hub.state import StateCache
from sinks.hub.subscription import NamesOf, Ping, RequestError, Rule, Subscription, as_named, parse_request
from sinks.hub.throttle import Conflator
from sinks.hub.tombstones import Tombstones

FORMING_MS: Final = 100
"""Least time between two versions of the same forming candle."""
TRADES_A_MESSAGE: Final = 500
TICK_LIMIT: Final = 500
"""Messages after which a tick ends early."""


class Hub:
    """Numbers the messages of one venue and fans them out, as drawn in the module's docstring."""

    def __init__(
        self, settings: HubSettings, *, venue: str, origin: str, first_seq: int, names_of: NamesOf = as_named
    ) -> None:
        """`names_of` gives the venues' own names of what clients write."""
        self._settings = settings
        self._names_of = names_of
        self._venue = venue
        self._origin = origin
        self._seq = first_seq
        self._recent = ReplayBuffer(settings.ring)
        self._state = StateCache()
        self._prices: Conflator[str, MarketData] = Conflator(1_000 / settings.rate)
        self._newest_price: dict[str, MarketData] = {}
        self._stats: dict[str, Stats24h] = {}
        self._best: Conflator[str, BookTicker] = Conflator(1_000 / settings.rate)
        self._forming: Conflator[tuple[str, str], Candle] = Conflator(FORMING_MS)
        self._derivatives = Derivatives(self._state, self._emit, interval_ms=1_000 / settings.rate)
        self._tombstones = Tombstones()
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
            **dict.fromkeys(CHANNEL_OF, self._derivatives.take),
        }

    @property
    def counters(self) -> Counters:
        """Counts so far; the object is live."""
        return self._fanout.counters

    # --- input ---

    def publish(self, items: Iterable[Publishable], now: Now) -> None:
        """Takes items. They are sent with the next `flush`, or at once when there are many."""
        for item in items:
            # incidents and states of the feed stay true for a removed symbol
            if isinstance(item, FeedStatus | Incident | Heartbeat) or not self._tombstones.is_late(
                item.symbol, now.local
            ):
                self._take(item, now)
            if len(self._tick) >= TICK_LIMIT:
                self.flush(now)

    def on_time(self, now: Now) -> None:
        """Releases the held values that are due."""
        local = now.local
        self._let_out(self._prices.take_due(local), self._best.take_due(local), self._forming.take_due(local), now)
        self._derivatives.release_due(now)

    @property
    def next_deadline_ms(self) -> float | None:
        """Local time at which to call `on_time`; None: nothing is held."""
        conflators = self._prices, self._best, self._forming, self._derivatives
        return min(
            (deadline for conflator in conflators if (deadline := conflator.next_deadline_ms) is not None), default=None
        )

    def release(self, now: Now) -> None:
        """Releases all held values, for the close."""
        self._let_out(self._prices.take_all(), self._best.take_all(), self._forming.take_all(), now)
        self._derivatives.release_all(now)

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
        """Reports the loss of `count` items before they arrived to every client, as each may have wanted them."""
        self.flush(now)
        self._fanout.lose(count, now)

    def _take(self, item: Publishable, now: Now) -> None:
        kind = type(item)
        take = self._take_by_type.get(kind) or self._learn(kind)
        take(item, now)

    def _learn(self, kind: type[Publishable]) -> Callable[[Any, Now], None]:
        """A venue's own messages are subclasses of the model's, and taken as those."""
        known = next(base for base in kind.__mro__ if base in self._take_by_type)
        take = self._take_by_type[kind] = self._take_by_type[known]
        return take

    def _take_heartbeat(self, beat: Heartbeat, now: Now) -> None:
        self._emit(Topic("Status"), HeartbeatUpdate(beat, self._origin), now, mergeable=True)

    def _take_incident(self, incident: Incident, now: Now) -> None:
        self._emit(Topic("Incident", incident.symbol), incident, now)

    def _take_status(self, status: FeedStatus, now: Now) -> None:
        message = self._emit(Topic("Status"), FeedStatusUpdate(status, self._origin), now)
        if status.state == "removed":
            self._forget(frozenset(status.symbols), now)
            return
        self._state.put(message, line=status.line)
        if status.state == "live":
            self._tombstones.remove(status.symbols)

    def _take_state(self, status: InstrumentStatus, now: Now) -> None:
        """A repeated state is sent too: a client that lost the first would keep an older one."""
        update = InstrumentStatusUpdate(status, self._origin)
        self._state.put(self._emit(Topic("Status", status.symbol), update, now, mergeable=True))

    def _forget(self, symbols: frozenset[str], now: Now) -> None:
        """Drops the state of removed symbols and what is held of them."""
        self._tombstones.add(symbols, now.local)
        self._state.forget(symbols)
        self._prices.forget(symbols.__contains__)
        self._best.forget(symbols.__contains__)
        self._forming.forget(lambda key: key[0] in symbols)
        self._derivatives.forget(symbols)
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
            case BookTicker() if self._best.submit(quote.symbol, quote, now.local):
                self._emit_latest("BookTicker", quote, now)

    def _take_stats(self, stats: Stats24h, now: Now) -> None:
        """Once complete, our own statistics replace the exchange's in the messages about prices."""
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
        sent = self._state.item(Topic("MarketData", symbol))
        if sent is not None and _figures(sent) == _figures(data):
            self._prices.drop(symbol)  # the held value is outdated, and clients have this price
        elif self._prices.submit(symbol, data, now.local):
            self._emit_price(data, now)

    def _take_candle(self, candle: Candle, now: Now) -> None:
        key = (candle.symbol, candle.timeframe)
        if not candle.is_closed:
            if self._forming.submit(key, candle, now.local):
                self._emit_forming(candle, now)
            return
        held = self._forming.held(key)
        if held is not None and held.open_time <= candle.open_time:
            self._forming.drop(key)
        update = ChartUpdate(candle, self._newest_price.get(candle.symbol))
        for channel, item in (("ChartUpdate", update), ("Candle", candle)):
            message = self._emit(Topic(channel, *key), item, now)
            self._state.put_closed(message, open_time=candle.open_time)

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
        """Emits an item that the next one of the same symbol replaces."""
        self._state.put(self._emit(Topic(channel, item.symbol), item, now, mergeable=True))

    def _emit_forming(self, candle: Candle, now: Now) -> None:
        message = self._emit(Topic("Candle", candle.symbol, candle.timeframe), candle, now, mergeable=True)
        self._state.put_forming(message, open_time=candle.open_time)

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
        """Adds a client. With `resume_after` it first gets the messages since then, else it begins with the next
        message.
        """
        self.flush(now)
        own = subscription.named(self._names_of)
        client = Client(peer, encoding=encoding, subscription=own, capacity=self._settings.capacity)
        self._fanout.add(client)
        if resume_after is not None:
            client.put_ahead(self._missed(client, resume_after, now))
            self._fanout.pump(client, now)
        return client

    def leave(self, client: Client) -> None:
        """Removes a client; a second call changes nothing."""
        self._fanout.remove(client)

    def on_request(self, client: Client, payload: str | bytes, now: Now) -> None:
        """Answers a client's message. Only called while the client is not behind: the requests of one that does
        not read must wait.
        """
        self.flush(now)
        try:
            request = parse_request(payload)
            replies = [self._pong(now)] if isinstance(request, Ping) else self._change(client, request, now)
        except RequestError as error:
            replies = [self._reply("Error", ErrorData(str(error)), now)]
        client.put_ahead(replies)
        self._fanout.pump(client, now)

    def on_writable(self, client: Client, now: Now) -> None:
        """A client's connection has room again."""
        client.resume()
        self._fanout.pump(client, now)

    def _change(self, client: Client, requested: Rule, now: Now) -> list[Sendable]:
        rule = requested.named(self._names_of)
        subscription = client.subscription.with_rule(rule)
        self._fanout.remove(client)
        client.subscription = subscription
        self._fanout.add(client)
        name = "Subscribed" if rule.wanted else "Unsubscribed"
        data = SubscribedData.of(rule, venue=self._venue, origin=self._origin)
        reply = self._reply(name, data, now)
        return [reply, *self._snapshot(Subscription((rule,)), now)] if rule.wanted else [reply]

    # --- messages to one client ---

    def _missed(self, client: Client, after: int, now: Now) -> Iterable[Sendable]:
        missed = self._recent.after(after, newest=self._seq)
        if missed is not None:
            return [message for message in missed if client.subscription.wants(message.topic) and not _is_past(message)]
        return [Reply(Reset()), *self._snapshot(client.subscription, now)]

    def _snapshot(self, subscription: Subscription, now: Now) -> list[Sendable]:
        envelopes = [message.envelope() for message in self._state.messages(subscription.wants)]
        return [self._reply("Snapshot", part, now) for part in snapshot_parts(envelopes)]

    def _pong(self, now: Now) -> Sendable:
        return Reply(Pong(iso_utc(now.feed), self._seq))

    def _reply(self, kind: str, data: Struct, now: Now) -> Sendable:
        return Reply(Envelope(kind, data, iso_utc(now.feed), self._seq))

    # --- sending ---

    def flush(self, now: Now) -> None:
        """Ends the tick: sends its messages to the clients that want them, or to their queues."""
        messages, self._tick = self._tick, []
        if messages:
            self._fanout.send(messages, now)


def _is_past(message: Message) -> bool:
    """Whether a replay must leave it out: an old heartbeat is no sign of life."""
    return isinstance(message.item, HeartbeatUpdate)


def _with_stats(data: MarketData, stats: Stats24h) -> MarketData:
    return MarketData(data.venue, data.symbol, data.price, data.time, stats.change, stats.change_percent, stats.volume)


def _figures(data: MarketData) -> tuple[float | None, ...]:
    return data.price, data.price_change_24h, data.price_change_percent_24h, data.volume_24h
