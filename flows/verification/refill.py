"""Fetches trades missing in the store from the venue, and stores them, if no flow writes to the store."""

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
from flows.verification.checks.trade_ids import IdGap
from sinks.trades.codec import MINUTE_MS
from sinks.trades.merge import add_batches
from sinks.trades.store import StoreInUseError, TradeStore
from sinks.trades.writer import part_of, partition_names

GetTrades = Callable[[TradesQuery], list[Trade]]
"""The venue's trades of a query; `VenueError` when it does not answer."""
GAPS_NAMED = 3
"""Most gaps of a symbol named in a sentence; the others are counted."""

_log = structlog.get_logger("flows.verify")


class Refilled(Struct, frozen=True):
    """Result for the gaps of a symbol."""

    trades: int = 0
    """Number of trades stored."""
    incidents: tuple[Incident, ...] = ()
    """Incidents for the ledger."""
    left: str = ""
    """What is still missing, why, and what to do; empty when nothing is."""


class TradeRefill:
    """Fills gaps in the ids of stored trades. Nothing is written while another process has the store open to write."""

    def __init__(
        self, path: Path, *, venue: str, partitions: int, rules: VenueRules, most_trades: int, get: GetTrades | None
    ) -> None:
        """`path` is the venue's directory of partitions. Without `get` the venue is not queried; a gap of more than
        `most_trades` is left to an import.
        """
        self._path = path
        self._venue = venue
        self._partitions = partitions
        self._rules = rules
        self._most_trades = most_trades
        self._get = get

    def refill(self, symbol: str, gaps: Sequence[IdGap]) -> Refilled:
        """Fills gaps as far as the venue has the trades. `TradeStoreError` when the store cannot be written for another
        reason than being in use; what was filled before stays.
        """
        if self._get is None:
            command = f"python -m flows.verify --repair --against rest --symbols {symbol}"
            return Refilled(left=_sentence(symbol, gaps, f"{command} fetches them"))
        small = [gap for gap in gaps if gap.last - gap.first < self._most_trades]
        large = [gap for gap in gaps if gap.last - gap.first >= self._most_trades]
        place = part_of(Instrument(self._venue, symbol).key, self._partitions)
        part = self._path / partition_names(self._partitions)[place]
        try:
            with TradeStore(part) as store:
                done = [self._fill(store, symbol, gap) for gap in small]
        except StoreInUseError:
            reason = f"a flow writes to {part}: stop it, run this again, and start it"
            return Refilled(left=_sentence(symbol, gaps, reason))
        left = [_sentence(symbol, large, _how_to_import(large, self._most_trades))] if large else []
        if unfilled := [gap for gap, stored in zip(small, done, strict=True) if stored <= gap.last - gap.first]:
            left.append(_sentence(symbol, unfilled, "the venue does not have all of them"))
        incidents = [self._incident(symbol, gap, stored) for gap, stored in zip(small, done, strict=True) if stored]
        return Refilled(sum(done), tuple(incidents), "; ".join(left))

    def _fill(self, store: TradeStore, symbol: str, gap: IdGap) -> int:
        """Stores what the venue has of a gap; returns the number of trades."""
        stored = 0
        for first in range(gap.first, gap.last + 1, QUERY_TRADES):
            last = min(gap.last, first + QUERY_TRADES - 1)
            trades = list(self._believed(PastTradesQuery(symbol, first, last, gap.after_time, gap.before_time)))
            if trades:
                with store.lock:
                    add_batches(store, [TradeBatch(self._venue, symbol, trades, late=True)], record_ms=MINUTE_MS)
                store.sync()
            stored += len(trades)
        _log.info("trades_refilled", symbol=symbol, first_id=gap.first, last_id=gap.last, trades=stored)
        return stored

    def _believed(self, query: TradesQuery) -> Iterator[Trade]:
        """The venue's answer without trades that are invalid or were not queried."""
        assert self._get is not None  # noqa: S101 - the caller has checked it
        for trade in self._get(query):
            if reason := fault_of_answer(trade, query, query.end + BACK_MS, self._rules):
                _log.warning("trade_refused", symbol=query.symbol, trade=trade, reason=reason)
            else:
                yield trade

    def _incident(self, symbol: str, gap: IdGap, stored: int) -> Incident:
        times, ids = (gap.after_time, gap.before_time), (gap.first, gap.last)
        cause = f"verification: trades {gap.first} to {gap.last} were not stored"
        outcome = f"{stored} trades fetched from the exchange and stored"
        return Incident("repair", self._venue, symbol, *times, cause, outcome, *ids)


def _sentence(symbol: str, gaps: Sequence[IdGap], reason: str) -> str:
    named = ", ".join(f"{gap.first} to {gap.last}" for gap in gaps[:GAPS_NAMED])
    more = f" and {len(gaps) - GAPS_NAMED} more gaps" if len(gaps) > GAPS_NAMED else ""
    return f"trades {named}{more} of {symbol} are not stored: {reason}"


def _how_to_import(gaps: Sequence[IdGap], most_trades: int) -> str:
    begin, end = min(gap.after_time for gap in gaps), max(gap.before_time for gap in gaps) + 1
    return (
        f"feed.repair_trades is {most_trades}: import the time from {begin} to {end} (ms UTC) with"
        " python -m bytewax.run flows.backfill"
    )
