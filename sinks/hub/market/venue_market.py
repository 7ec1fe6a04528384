"""What the hub makes of the items of one venue: which become messages now, which wait, which state they leave. Pure."""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from flows.clock import Now
from flows.model import (
    PRIVATE_KINDS,
    AccountState,
    Balance,
    BookTicker,
    BookView,
    Candle,
    FeedStatus,
    Heartbeat,
    Incident,
    InstrumentStatus,
    MarketData,
    Position,
    Publishable,
    Stats24h,
    Ticker,
    TradeBatch,
)
from flows.model.alerts import Alert
from sinks.hub.market.accounts import Accounts
from sinks.hub.market.derivatives import CHANNEL_OF, Derivatives
from sinks.hub.market.state import StateCache
from sinks.hub.market.throttle import Conflator
from sinks.hub.market.tombstones import Tombstones
from sinks.hub.messages import Message, Topic
from sinks.hub.payloads import ChartUpdate, FeedStatusUpdate, HeartbeatUpdate, InstrumentStatusUpdate

FORMING_MS: Final = 100
"""Least time between two versions of the same forming candle."""
TOGETHER_MS: Final = 10
"""A forming candle, or a best bid and ask, that is held leaves up to so much later than it may, with others."""
TRADES_A_MESSAGE: Final = 500

_OF_ACCOUNTS: Final = (Balance, Position, AccountState)
_LASTING: Final = (FeedStatus, Incident, Heartbeat, Alert, *_OF_ACCOUNTS)


class Emit(Protocol):
    """Numbers a message and hands it on."""

    def __call__(self, topic: Topic, item: object, now: Now, *, mergeable: bool = False) -> Message:
        """The message."""


class VenueMarket:
    """The items of one venue on their way to the clients."""

    def __init__(
        self,
        venue: str,
        *,
        origin: str,
        rate: float,
        state: StateCache,
        emit: Emit,
        forget: Callable[[Callable[[Topic], bool]], None],
    ) -> None:
        """At most `rate` prices of an instrument a second. `forget` is called with a test for the topics of removed
        symbols.
        """
        self._venue = venue
        self._origin = origin
        self._state = state
        self._emit_message = emit
        self._forget_topics = forget
        self._prices: Conflator[str, MarketData] = Conflator(1_000 / rate)
        self._newest_price: dict[str, MarketData] = {}
        self._stats: dict[str, Stats24h] = {}
        self._best: Conflator[str, BookTicker] = Conflator(1_000 / rate)
        self._forming: Conflator[tuple[str, str], Candle] = Conflator(FORMING_MS)
        self._derivatives = Derivatives(venue, state, emit, interval_ms=1_000 / rate)
        self._accounts = Accounts(venue, state, emit)
        self._tombstones = Tombstones()
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
            Alert: self._take_alert,
            **dict.fromkeys(CHANNEL_OF, self._derivatives.take),
            **dict.fromkeys(_OF_ACCOUNTS, self._accounts.take),
        }

    def take(self, item: Publishable, now: Now) -> None:
        """Takes an item."""
        # incidents, alerts, accounts and states of the feed stay true for a removed symbol
        if isinstance(item, _LASTING) or not self._tombstones.is_late(item.symbol, now.local):
            kind = type(item)
            take = self._take_by_type.get(kind) or self._learn(kind)
            take(item, now)

    def on_time(self, now: Now) -> None:
        """Releases the held values that are due."""
        local = now.local
        self._let_out(self._prices.take_due(local), self._best.take_due(local), self._forming.take_due(local), now)
        self._derivatives.release_due(now)
        self._accounts.release_due(now)

    @property
    def next_deadline_ms(self) -> float | None:
        """Local time at which to call `on_time`; None: nothing is held."""
        conflators = (
            (self._prices, 0), (self._best, TOGETHER_MS), (self._forming, TOGETHER_MS), (self._derivatives, 0),
            (self._accounts, 0),
        )  # fmt: skip
        deadlines = ((conflator.next_deadline_ms, later_ms) for conflator, later_ms in conflators)
        return min((deadline + later_ms for deadline, later_ms in deadlines if deadline is not None), default=None)

    def release(self, now: Now) -> None:
        """Releases all held values, for the close."""
        self._let_out(self._prices.take_all(), self._best.take_all(), self._forming.take_all(), now)
        self._derivatives.release_all(now)
        self._accounts.release_all(now)

    def _let_out(
        self, prices: Iterable[MarketData], quotes: Iterable[BookTicker], candles: Iterable[Candle], now: Now
    ) -> None:
        for data in prices:
            self._emit_price(data, now)
        for best in quotes:
            self._emit_latest("BookTicker", best, now)
        for candle in candles:
            self._emit_forming(candle, now)

    def _learn(self, kind: type[Publishable]) -> Callable[[Any, Now], None]:
        """A venue's own messages are subclasses of the model's, and taken as those."""
        known = next(base for base in kind.__mro__ if base in self._take_by_type)
        take = self._take_by_type[kind] = self._take_by_type[known]
        return take

    def _take_heartbeat(self, beat: Heartbeat, now: Now) -> None:
        self._emit(self._topic("Status"), HeartbeatUpdate(beat, self._origin), now, mergeable=True)

    def _take_incident(self, incident: Incident, now: Now) -> None:
        if incident.kind not in PRIVATE_KINDS:  # clients with the right learn of those by the account's state
            self._emit(self._topic("Incident", incident.symbol), incident, now)

    def _take_alert(self, alert: Alert, now: Now) -> None:
        self._emit(self._topic("Alert", alert.symbol), alert, now)

    def _take_status(self, status: FeedStatus, now: Now) -> None:
        message = self._emit(self._topic("Status"), FeedStatusUpdate(status, self._origin), now)
        if status.state == "removed":
            self._forget(frozenset(status.symbols), now)
            return
        self._state.put(message, line=status.line)
        if status.state == "live":
            self._tombstones.remove(status.symbols)

    def _take_state(self, status: InstrumentStatus, now: Now) -> None:
        """A repeated state is sent too: a client that lost the first would keep an older one."""
        update = InstrumentStatusUpdate(status, self._origin)
        self._state.put(self._emit(self._topic("Status", status.symbol), update, now, mergeable=True))

    def _forget(self, symbols: frozenset[str], now: Now) -> None:
        """Drops the state of removed symbols and what is held of them."""
        self._tombstones.add(symbols, now.local)
        self._prices.forget(symbols.__contains__)
        self._best.forget(symbols.__contains__)
        self._forming.forget(lambda key: key[0] in symbols)
        self._derivatives.forget(symbols)
        for symbol in symbols:
            self._newest_price.pop(symbol, None)
            self._stats.pop(symbol, None)
        self._forget_topics(
            lambda topic: topic.venue == self._venue and topic.symbol in symbols and not topic.of_account
        )

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
        sent = self._state.item(self._topic("MarketData", symbol))
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
            message = self._emit(self._topic(channel, *key), item, now)
            self._state.put_closed(message, open_time=candle.open_time)

    def _take_trades(self, batch: TradeBatch, now: Now) -> None:
        for begin in range(0, len(batch.trades), TRADES_A_MESSAGE):
            part = batch.trades[begin : begin + TRADES_A_MESSAGE]
            item = TradeBatch(batch.venue, batch.symbol, part, late=batch.late)
            self._emit(self._topic("Trade", batch.symbol), item, now)

    def _emit_price(self, data: MarketData, now: Now) -> None:
        self._emit_latest("MarketData", data, now)

    def _emit_latest(
        self, channel: str, item: MarketData | Ticker | BookTicker | BookView | Stats24h, now: Now
    ) -> None:
        """Emits an item that the next one of the same symbol replaces."""
        self._state.put(self._emit(self._topic(channel, item.symbol), item, now, mergeable=True))

    def _emit_forming(self, candle: Candle, now: Now) -> None:
        message = self._emit(self._topic("Candle", candle.symbol, candle.timeframe), candle, now, mergeable=True)
        self._state.put_forming(message, open_time=candle.open_time)

    def _topic(self, channel: str, symbol: str = "", timeframe: str = "") -> Topic:
        return Topic(channel, symbol, timeframe, self._venue)

    def _emit(self, topic: Topic, item: object, now: Now, *, mergeable: bool = False) -> Message:
        return self._emit_message(topic, item, now, mergeable=mergeable)


def _with_stats(data: MarketData, stats: Stats24h) -> MarketData:
    return MarketData(data.venue, data.symbol, data.price, data.time, stats.change, stats.change_percent, stats.volume)


def _figures(data: MarketData) -> tuple[float | None, ...]:
    return data.price, data.price_change_24h, data.price_change_percent_24h, data.volume_24h
