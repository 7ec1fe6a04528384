"""Fetches trades that are missing in the store, or wrong, from the venue, and stores them, if no flow writes to it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import structlog
from msgspec import Struct, structs

from flows.bounds import VenueRules
from flows.model import MARKET_FILL, Incident, Instrument, Trade, TradeBatch
from flows.operators.candles.disputed_trades import LEFT, vouched_trades
from flows.operators.candles.made_of import is_made_of
from flows.operators.trades.checks import fault_of_answer
from flows.operators.trades.continuity import BACK_MS
from flows.operators.trades.gaps import QUERY_TRADES
from flows.queries import DisputedTradesQuery, PastTradesQuery, QueryError, TradesQuery
from flows.verification.checks.refuted import Refutation
from flows.verification.checks.trade_ids import IdGap
from sinks.trades.codec import FILLS, MINUTE_MS, minute_of
from sinks.trades.durable import runs_of
from sinks.trades.merge import Dispute, add_batches
from sinks.trades.store import StoreInUseError, TradeStore
from sinks.trades.writer import part_of, partition_names

GetTrades = Callable[[TradesQuery], list[Trade]]
"""The venue's trades of a query; `VenueError` when it does not answer, `QueryError` when it has none of that kind."""
_SAME_AND_NO_CANDLE = "the venue's trades are the same, and its candle of this time cannot be had; ask again later"
GAPS_NAMED = 3
"""Most gaps of a symbol named in a sentence; the others are counted."""

_log = structlog.get_logger("flows.verify")


class Refilled(Struct, frozen=True):
    """Result for the gaps of a symbol, or for its wrong trades."""

    trades: int = 0
    """Number of trades stored."""
    incidents: tuple[Incident, ...] = ()
    """Incidents for the ledger."""
    left: str = ""
    """What is still missing, why, and what to do; empty when nothing is."""


class TradeRefill:
    """Fills gaps in the ids of stored trades, and replaces wrong ones. Nothing is written while another process has the
    store open to write.
    """

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
            return Refilled(left=_sentence(symbol, gaps, _how_to_fetch(symbol)))
        small = [gap for gap in gaps if gap.last - gap.first < self._most_trades]
        large = [gap for gap in gaps if gap.last - gap.first >= self._most_trades]
        part = self._part(symbol)
        try:
            with TradeStore(part) as store:
                done = [self._fill(store, symbol, gap) for gap in small]
        except StoreInUseError:
            return Refilled(left=_sentence(symbol, gaps, _in_use(part)))
        left = [_sentence(symbol, large, _how_to_import(large, self._most_trades))] if large else []
        if unfilled := [gap for gap, ids in zip(small, done, strict=True) if len(ids) <= gap.last - gap.first]:
            left.append(_sentence(symbol, unfilled, "the venue does not have all of them"))
        incidents = [one for gap, ids in zip(small, done, strict=True) for one in self._incidents(symbol, gap, ids)]
        return Refilled(sum(map(len, done)), tuple(incidents), "; ".join(left))

    def replace(self, symbol: str, refuted: Sequence[Refutation]) -> Refilled:
        """Stores the venue's trades of these periods in the place of the stored ones, as far as it has them. Where they
        make the candle, the stored ones of other ids are removed. Errors as of `refill`.
        """
        ranges = [(one.query.first_id, one.query.last_id) for one in refuted]
        if self._get is None:
            return Refilled(left=_wrong_sentence(symbol, ranges, _how_to_fetch(symbol)))
        part = self._part(symbol)
        try:
            with TradeStore(part) as store:
                done = [self._replace(store, one) for one in refuted]
        except StoreInUseError:
            return Refilled(left=_wrong_sentence(symbol, ranges, _in_use(part)))
        left = "; ".join(one.left for one in done if one.left)
        incidents = tuple(incident for one in done for incident in one.incidents)
        return Refilled(sum(one.trades for one in done), incidents, left)

    def decide(self, symbol: str, copies: Sequence[DisputedTradesQuery]) -> Refilled:
        """Stores the venue's version of trades that are stored with several, and removes the others. Errors as of
        `refill`.
        """
        what = f"trades {_named([(one.first_id, one.last_id) for one in copies], 'trades')} of {symbol}"
        what = f"{what} are stored with several values"
        if self._get is None:
            return Refilled(left=f"{what}: {_how_to_fetch(symbol)}")
        part = self._part(symbol)
        try:
            with TradeStore(part) as store:
                done = [self._decide(store, query) for query in copies]
        except StoreInUseError:
            return Refilled(left=f"{what}: {_in_use(part)}")
        incidents = [one for _, found in done for one in found]
        left = "" if all(found for _, found in done) else f"{what}: the venue does not have all of them"
        return Refilled(sum(count for count, _ in done), tuple(incidents), left)

    def _decide(self, store: TradeStore, query: DisputedTradesQuery) -> tuple[int, list[Incident]]:
        assert self._get is not None  # noqa: S101 - the caller has checked it
        try:
            batch = vouched_trades(self._venue, query, self._get(query))
        except QueryError:
            batch = None
        if batch is None:
            return 0, []
        with store.lock:
            add_batches(store, [batch], record_ms=MINUTE_MS)
        store.sync()
        cause = "verification: a trade was stored with several values"
        outcome = "only that of the exchange's REST side is stored"
        ids, times = (query.first_id, query.last_id), (query.begin, query.end)
        return len(batch.trades), [Incident("repair", self._venue, query.symbol, *times, cause, outcome, *ids)]

    def _replace(self, store: TradeStore, refuted: Refutation) -> Refilled:
        assert self._get is not None  # noqa: S101 - the caller has checked it
        query = refuted.query
        ids = [(query.first_id, query.last_id)]
        try:
            batch = vouched_trades(self._venue, query, self._get(query))
        except QueryError as error:
            return Refilled(left=_wrong_sentence(query.symbol, ids, str(error)))
        if batch is None:
            return Refilled(left=_wrong_sentence(query.symbol, ids, "the venue does not have them"))
        false = self._false(store, refuted, batch.trades)
        batch = structs.replace(batch, replaced=false)
        disputes: list[Dispute] = []
        known = set(store.ids(query.symbol, batch.begin, batch.end + 1).tolist())
        with store.lock:
            add_batches(store, [batch], record_ms=MINUTE_MS, on_dispute=disputes.append)
        store.sync()
        changed = sum(dispute.trades for dispute in disputes) + sum(trade.id not in known for trade in batch.trades)
        changed += len(false)
        _log.info("trades_replaced", symbol=query.symbol, first_id=ids[0][0], last_id=ids[0][1], trades=changed)
        if changed or refuted.is_confirmed:
            left = "" if changed else _wrong_sentence(query.symbol, ids, "the venue's trades are the same")
            return Refilled(changed, (self._incident_of_wrong(query, changed),), left)
        return Refilled(left=_wrong_sentence(query.symbol, ids, _SAME_AND_NO_CANDLE))

    @staticmethod
    def _false(store: TradeStore, refuted: Refutation, trades: Sequence[Trade]) -> tuple[Trade, ...]:
        """The stored trades of a period that the venue does not have, where its own make the candle, so that there are
        no others.
        """
        query = refuted.query
        if not refuted.truth.trades or not is_made_of(refuted.truth, trades):
            return ()
        theirs = {trade.id for trade in trades}
        records = store.records(query.symbol, minute_of(query.begin), query.end + 1)
        rows = (row for _, columns in records for row in columns.rows())
        return tuple(
            Trade(query.symbol, row[0], row[3], row[4], row[5], bool(row[6]), row[3])
            for row in rows
            if row[0] not in theirs and query.begin <= row[3] <= query.end and row[7] == FILLS.index(MARKET_FILL)
        )

    def _incident_of_wrong(self, query: DisputedTradesQuery, changed: int) -> Incident:
        """What was replaced; or that nothing was, so that it is known from now on."""
        where = self._venue, query.symbol, query.begin, query.end
        ids = query.first_id, query.last_id
        cause = f"verification: trades {ids[0]} to {ids[1]} make another candle than the exchange's"
        if changed:
            return Incident(
                "repair", *where, cause, f"{changed} of them stored as the exchange's REST side has them", *ids
            )
        return Incident("gap", *where, cause, f"{LEFT}the exchange's REST side has the same", *ids)

    def _part(self, symbol: str) -> Path:
        """The directory of the symbol's partition."""
        place = part_of(Instrument(self._venue, symbol).key, self._partitions)
        return self._path / partition_names(self._partitions)[place]

    def _fill(self, store: TradeStore, symbol: str, gap: IdGap) -> list[int]:
        """Stores what the venue has of a gap; returns the ids of the trades."""
        stored: set[int] = set()
        for first in range(gap.first, gap.last + 1, QUERY_TRADES):
            last = min(gap.last, first + QUERY_TRADES - 1)
            trades = list(self._believed(PastTradesQuery(symbol, first, last, gap.after_time, gap.before_time)))
            if trades:
                with store.lock:
                    add_batches(store, [TradeBatch(self._venue, symbol, trades, late=True)], record_ms=MINUTE_MS)
                store.sync()
            stored |= {trade.id for trade in trades}
        _log.info("trades_refilled", symbol=symbol, first_id=gap.first, last_id=gap.last, trades=len(stored))
        return sorted(stored)

    def _believed(self, query: TradesQuery) -> Iterator[Trade]:
        """The venue's answer without trades that are invalid or were not queried."""
        assert self._get is not None  # noqa: S101 - the caller has checked it
        for trade in self._get(query):
            if reason := fault_of_answer(trade, query, query.end + BACK_MS, self._rules):
                _log.warning("trade_refused", symbol=query.symbol, trade=trade, reason=reason)
            else:
                yield trade

    def _incidents(self, symbol: str, gap: IdGap, ids: list[int]) -> Iterator[Incident]:
        """One for each run of the ids that were stored: of the others the ledger still says that they lack."""
        cause = f"verification: trades {gap.first} to {gap.last} were not stored"
        for run in runs_of(ids, gap.after_time, gap.before_time):
            outcome = f"{run.last_id - run.first_id + 1} trades fetched from the exchange and stored"
            yield Incident("repair", self._venue, symbol, run.begin, run.end, cause, outcome, run.first_id, run.last_id)


def _sentence(symbol: str, gaps: Sequence[IdGap], reason: str) -> str:
    named = _named([(gap.first, gap.last) for gap in gaps], "gaps")
    return f"trades {named} of {symbol} are not stored: {reason}"


def _wrong_sentence(symbol: str, ranges: Sequence[tuple[int, int]], reason: str) -> str:
    return f"trades {_named(ranges, 'candles')} of {symbol} do not make the exchange's candle: {reason}"


def _named(ranges: Sequence[tuple[int, int]], what: str) -> str:
    named = ", ".join(f"{first} to {last}" for first, last in ranges[:GAPS_NAMED])
    return f"{named} and {len(ranges) - GAPS_NAMED} more {what}" if len(ranges) > GAPS_NAMED else named


def _how_to_fetch(symbol: str) -> str:
    return f"python -m flows.verify --repair --against rest --symbols {symbol} fetches them"


def _in_use(part: Path) -> str:
    return f"a flow writes to {part}: stop it, run this again, and start it"


def _how_to_import(gaps: Sequence[IdGap], most_trades: int) -> str:
    begin, end = min(gap.after_time for gap in gaps), max(gap.before_time for gap in gaps) + 1
    return (
        f"feed.repair_trades is {most_trades}: import the time from {begin} to {end} (ms UTC) with"
        " python -m bytewax.run flows.backfill"
    )
