"""Fetches the trades that the trade store lacks from the venue, and stores them, where no flow writes to the store."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import structlog
from msgspec import Struct

from flows.bounds import VenueRules
from flows.model import Incident, Instrument, Trade, TradeBatch
from flows.operators.trades.checks import fault_of_answer
from flows.operators.trades.continuity import BACK_MS
from flows.operators.trades.gaps import QUERY_TRADES
from flows.queries import PastTradesQuery, TradesQuery
from flows.verification.checks.trade_ids import Hole
from sinks.trades.codec import MINUTE_MS
from sinks.trades.merge import add_batches
from sinks.trades.store import StoreInUseError, TradeStore
from sinks.trades.writer import part_of

GetTrades = Callable[[TradesQuery], list[Trade]]
"""The venue's trades of a query; `VenueError` when it does not answer."""
HOLES_NAMED = 3
"""Holes of a symbol that a sentence names; the others are counted."""

_log = structlog.get_logger("flows.verify")


class Refilled(Struct, frozen=True):
    """What became of the holes of a symbol."""

    trades: int = 0
    """Trades that are stored now."""
    incidents: tuple[Incident, ...] = ()
    """What the ledger is to say of it."""
    left: str = ""
    """What is still missing, why, and what to do; empty when nothing is."""


class TradeRefill:
    """Fills holes in the ids of stored trades. Nothing is written while another process has the store open to write."""

    def __init__(
        self, path: Path, *, venue: str, partitions: int, rules: VenueRules, most_trades: int, get: GetTrades | None
    ) -> None:
        """`path` is the venue's directory of partitions. Without `get` the venue is not asked; a hole of more than
        `most_trades` is left to an import.
        """
        self._path = path
        self._venue = venue
        self._partitions = partitions
        self._rules = rules
        self._most_trades = most_trades
        self._get = get

    def refill(self, symbol: str, holes: Sequence[Hole]) -> Refilled:
        """Fills what can be had. `TradeStoreError` when the store cannot be written, for another reason than that it is
        in use; what was filled before stays.
        """
        if self._get is None:
            command = f"python -m flows.verify --repair --against rest --symbols {symbol}"
            return Refilled(left=_sentence(symbol, holes, f"{command} fetches them"))
        small = [hole for hole in holes if hole.last - hole.first < self._most_trades]
        large = [hole for hole in holes if hole.last - hole.first >= self._most_trades]
        part = self._path / f"part-{part_of(Instrument(self._venue, symbol).key, self._partitions):02d}"
        try:
            with TradeStore(part) as store:
                done = [self._fill(store, symbol, hole) for hole in small]
        except StoreInUseError:
            reason = f"a flow writes to {part}: stop it, run this again, and start it"
            return Refilled(left=_sentence(symbol, holes, reason))
        left = [_sentence(symbol, large, _how_to_import(large, self._most_trades))] if large else []
        if unfilled := [hole for hole, stored in zip(small, done, strict=True) if stored <= hole.last - hole.first]:
            left.append(_sentence(symbol, unfilled, "the venue does not have all of them"))
        incidents = [self._incident(symbol, hole, stored) for hole, stored in zip(small, done, strict=True) if stored]
        return Refilled(sum(done), tuple(incidents), "; ".join(left))

    def _fill(self, store: TradeStore, symbol: str, hole: Hole) -> int:
        """Stores what the venue has of a hole; how many trades that was."""
        stored = 0
        for first in range(hole.first, hole.last + 1, QUERY_TRADES):
            last = min(hole.last, first + QUERY_TRADES - 1)
            trades = list(self._believed(PastTradesQuery(symbol, first, last, hole.after_time, hole.before_time)))
            if trades:
                with store.lock:
                    add_batches(store, [TradeBatch(self._venue, symbol, trades, late=True)], record_ms=MINUTE_MS)
                store.sync()
            stored += len(trades)
        _log.info("trades_refilled", symbol=symbol, first_id=hole.first, last_id=hole.last, trades=stored)
        return stored

    def _believed(self, query: TradesQuery) -> Iterator[Trade]:
        """What the venue tells, as far as it was asked for and can be."""
        assert self._get is not None  # noqa: S101 - who calls has seen it
        for trade in self._get(query):
            if reason := fault_of_answer(trade, query, query.end + BACK_MS, self._rules):
                _log.warning("trade_refused", symbol=query.symbol, trade=trade, reason=reason)
            else:
                yield trade

    def _incident(self, symbol: str, hole: Hole, stored: int) -> Incident:
        times, ids = (hole.after_time, hole.before_time), (hole.first, hole.last)
        cause = f"verification: trades {hole.first} to {hole.last} were not stored"
        outcome = f"{stored} trades fetched from the exchange and stored"
        return Incident("repair", self._venue, symbol, *times, cause, outcome, *ids)


def _sentence(symbol: str, holes: Sequence[Hole], reason: str) -> str:
    named = ", ".join(f"{hole.first} to {hole.last}" for hole in holes[:HOLES_NAMED])
    more = f" and {len(holes) - HOLES_NAMED} holes more" if len(holes) > HOLES_NAMED else ""
    return f"trades {named}{more} of {symbol} are not stored: {reason}"


def _how_to_import(holes: Sequence[Hole], most_trades: int) -> str:
    begin, end = min(hole.after_time for hole in holes), max(hole.before_time for hole in holes) + 1
    return (
        f"feed.repair_trades is {most_trades}: import the time from {begin} to {end} (ms UTC) with"
        " python -m bytewax.run flows.backfill"
    )
