"""Small polls become larger batches before the keyed steps, whose cost is by batch and not by trade.

Only what feeds candles and the trade store waits, and at most `hold_ms`; prices are published from the step before.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from flows.bounds import trade_time
from flows.clock import FeedClock
from flows.model import (
    TRADE_KINDS,
    ConnectionEvent,
    Flush,
    Kline,
    MarketEvent,
    NewestTrade,
    Removed,
    Ticker,
    Trade,
    TradeInput,
    TradesRefused,
)
from flows.operators.parse import Batch, InstrumentEvent, Trades, Validated
from flows.operators.runs import by_symbol

ENOUGH = 4_000
"""Trades after which a batch is large enough to go at once."""

Keyed: TypeAlias = tuple[str, TradeInput]
"""`(instrument key, run of events of one type or a connection event)`."""
_Runs: TypeAlias = dict[str, list[MarketEvent]]
"""Events of one type by instrument key."""


class MicroBatcher:
    """Holds trades, and what names the newest of them, by instrument until there are `ENOUGH`, or `hold_ms` have passed
    since the last release and the source has nothing more for the moment (`Flush`). Connection events release what came
    before them.

    The clock that closes candles is set here, by trades alone and their own times, as they are released: so it is never
    ahead of trades that are still held, nor of those on a connection that is read more slowly than another, as when a
    recording is played at full speed; and a venue whose event times are wrong does not move it.
    """

    def __init__(self, clock: FeedClock, *, hold_ms: int, monotonic_ms: Callable[[], int]) -> None:
        self._clock = clock
        self._hold_ms = hold_ms
        self._monotonic_ms = monotonic_ms
        self._unsorted: list[Trade] = []
        """Trades of any instruments, newer than those in `_trades`."""
        self._keys: Mapping[str, str] = {}
        """Keys of the symbols of these."""
        self._trades: dict[str, list[Trade]] = {}
        self._klines: dict[str, list[Kline]] = {}
        self._tickers: dict[str, list[Ticker]] = {}
        self._newest: dict[str, list[NewestTrade]] = {}
        self._places: dict[type, _Runs | None] = {}
        self._count = 0
        self._released_ms = 0

    def __call__(self, items: list[Validated]) -> list[Keyed]:
        """Batches that are large or old enough, trades of an instrument before its klines."""
        out: list[Keyed] = []
        pulse = ends = False
        for item in items:
            if type(item) is Trades:
                self._unsorted += item.trades
                self._keys = item.keys
                self._count += len(item.trades)
            elif type(item) is Batch:
                self._take(item)
            elif type(item) is InstrumentEvent and _concerns(item.event):
                self._release(out)
                out.append((item.key, item.event))
            elif type(item) is Flush:
                pulse = True
                ends = ends or item.final
        if pulse:
            pulse = self._monotonic_ms() - self._released_ms >= self._hold_ms
        if self._count and (ends or pulse or self._count >= ENOUGH):
            self._release(out)
        return out

    def _take(self, batch: Batch) -> None:
        events = batch.events
        kind = type(events[0])
        place = self._places[kind] if kind in self._places else self._place_of(kind)
        if place is None:
            return
        if place is self._trades and self._unsorted:
            self._sort()
        self._count += len(events)
        if batch.key in place:
            place[batch.key] += events
        else:
            place[batch.key] = events.copy()  # other steps read the batch too

    def _place_of(self, kind: type) -> _Runs | None:
        """Where events of a type wait, which may be a venue's own subtype of a model type; None for the others."""
        places = (
            (Trade, self._trades),
            (Kline, self._klines),
            (Ticker, self._tickers),
            (NewestTrade, self._newest),
        )
        found = next((place for model, place in places if issubclass(kind, model)), None)
        place = cast("_Runs | None", found)  # what is put there is of this type
        self._places[kind] = place
        return place

    def _sort(self) -> None:
        """Trades that came together get to those of their instruments."""
        trades, keys = self._trades, self._keys
        for symbol, run in by_symbol(self._unsorted).items():
            key = keys[symbol]
            if key in trades:
                trades[key] += run
            else:
                trades[key] = run
        self._unsorted = []

    def _release(self, out: list[Keyed]) -> None:
        if not self._count:
            return
        if self._unsorted:
            self._sort()
        if self._trades:
            self._clock.observe(max(trade_time(events[-1]) for events in self._trades.values()))
        out += self._trades.items()
        out += self._klines.items()
        out += self._tickers.items()
        out += self._newest.items()
        self._trades.clear()
        self._klines.clear()
        self._tickers.clear()
        self._newest.clear()
        self._count = 0
        self._released_ms = self._monotonic_ms()


def _concerns(event: ConnectionEvent | TradesRefused) -> bool:
    """Whether an event is for the machines of trades and candles: the end of their streams is, that of books is not.
    The end of klines alone is not either, as candles are made without them.
    """
    if type(event) is not Removed:
        return True
    return not TRADE_KINDS.isdisjoint(event.kinds) or (
        event.is_gone and any(kind == "ticker" or kind.startswith("kline") for kind in event.kinds)
    )
