"""Takes everything that an import makes, in its order, and says when it is stored for good.

A live flow goes on when a store fails, for the market does not wait. An import can wait, and can be run again: so here
nothing is ever dropped, and a store that takes nothing for too long ends it.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from flows.clock import monotonic_ms
from flows.model import Candle, Incident, Instrument, Recorded, TradeBatch
from sinks.mongo import MongoWriter
from sinks.trades import TradeWriter, part_of

MOST_TRADES = 500_000
"""Trades that wait for their store; with more, the import waits. Half of what the store's buffer takes."""
CHUNK = 1_000
"""Candles handed on at once."""
NOTE_MS = 5_000
"""Least time between two moments at which everything is stored: it costs a wait for the stores."""
PATIENCE_S = 60.0
"""Longest time without a single candle or trade stored."""
_LOOK_S = 0.005


class Ledger(Protocol):
    """Where incidents go."""

    def write(self, batch: list[Incident]) -> None:
        """Takes incidents."""


class Intake:
    """The one writer of an import. `marker` is the type of the items that say: so far. They are given to `on_stored`,
    in order, when all that came before them is stored for good, at most every `NOTE_MS` and at the end.

    Trades and candles wait for their stores. When one of them takes nothing for `patience_s`, that is told to
    `on_failure`, once, and from then on nothing is taken and nothing is noted.
    """

    def __init__(
        self,
        *,
        candles: MongoWriter | None,
        most_candles: int,
        trades: list[TradeWriter],
        ledger: Ledger,
        marker: type,
        on_stored: Callable[[list[Any]], None],
        on_failure: Callable[[str], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """At most `most_candles` and `CHUNK` candles are held. `trades` are the writers of all partitions in order, or
        none; all writers are the intake's from now on, and closed with it.
        """
        self._candles = candles
        self._most_candles = most_candles
        self._trades = trades
        self._ledger = ledger
        self._marker = marker
        self._on_stored = on_stored
        self._on_failure = on_failure
        self._patience_s = patience_s
        self._reached: list[Any] = []
        self._noted_ms = monotonic_ms()
        self._has_failed = False
        self._is_closed = False
        self.proofs: Counter[str] = Counter()
        """Closed candles, by what the comparison with the exchange's showed."""

    def write(self, batch: list[list[Any]]) -> None:
        """Takes items in their order; waits for the stores."""
        for items in batch:
            self._take_all(items)
        if self._reached and monotonic_ms() - self._noted_ms >= NOTE_MS:
            self._note()

    def close(self) -> None:
        """Stores everything, and lets go of the stores."""
        if self._is_closed:
            return
        self._is_closed = True
        self._note()
        for writer in (*self._trades, self._candles):
            if writer:
                writer.close()

    def _take_all(self, items: list[Any]) -> None:
        candles: list[Candle] = []
        for item in items:
            if self._has_failed:
                return
            match item:
                case Candle(is_closed=True):
                    candles.append(item)
                case Recorded():
                    candles.append(item.candle)
                case TradeBatch():
                    self._take_trades(item)
                case Incident():
                    self._ledger.write([item])
                case _ if isinstance(item, self._marker):
                    self._take_candles(candles)
                    candles = []
                    self._reached.append(item)
        self._take_candles(candles)

    def _take_candles(self, candles: list[Candle]) -> None:
        self.proofs.update(candle.proof for candle in candles)
        if self._candles is None:
            return
        for start in range(0, len(candles), CHUNK):
            if not self._wait(self._candles, most=self._most_candles, store="MongoDB"):
                return
            self._candles.write(candles[start : start + CHUNK])

    def _take_trades(self, batch: TradeBatch) -> None:
        if not self._trades:
            return
        writer = self._trades[part_of(Instrument(batch.venue, batch.symbol).key, len(self._trades))]
        if self._wait(writer, most=MOST_TRADES, store="the trade store"):
            writer.write([batch])

    def _note(self) -> None:
        """Waits until everything is stored, and says so."""
        for writer in self._trades:
            if not self._has_failed and not writer.flush(timeout_s=self._patience_s):
                self._fail("the trade store")
        if self._candles:
            self._wait(self._candles, most=0, store="MongoDB")
        if self._reached and not self._has_failed:
            self._on_stored(self._reached)
        self._reached = []
        self._noted_ms = monotonic_ms()

    def _wait(self, writer: MongoWriter | TradeWriter, *, most: int, store: str) -> bool:
        """Waits until a writer holds no more than `most`. False when a store has failed."""
        least, since_ms = writer.held, monotonic_ms()
        while (held := writer.held) > most and not self._has_failed:
            if held < least:
                least, since_ms = held, monotonic_ms()
            elif monotonic_ms() - since_ms > self._patience_s * 1_000:
                self._fail(store)
            time.sleep(_LOOK_S)
        return not self._has_failed

    def _fail(self, store: str) -> None:
        self._has_failed = True
        self._on_failure(f"{store} took nothing for {self._patience_s:g} s: see to it, and run the import again")
