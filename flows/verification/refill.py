"""Fetches trades that are missing in the store, or wrong, from the venue, and stores them, if no flow writes to it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
from msgspec import Struct, structs

from flows.bounds import BACK_MS, VenueRules
from flows.model import MARKET_FILL, Incident, Instrument, Trade, TradeBatch
from flows.operators.candles.disputed_trades import LEFT, vouched_trades
from flows.operators.candles.made_of import is_made_of
from flows.operators.trades.checks import fault_of_answer
from flows.operators.trades.gaps import QUERY_TRADES
from flows.queries import DisputedTradesQuery, PastTradesQuery, QueryError, TradesQuery
from flows.texts import counted
from flows.verification.checks.findings import few
from flows.verification.checks.refuted import Refutation
from flows.verification.checks.trade_ids import IdGap, Misplaced
from sinks.trades.codec import FILLS, MINUTE_MS, minute_of
from sinks.trades.disputes import Dispute
from sinks.trades.durable import runs_of
from sinks.trades.merge import add_batches
from sinks.trades.store import StoreInUseError, TradeStore
from sinks.trades.stored_records import leave_out
from sinks.trades.writer import part_of, partition_names

GetTrades = Callable[[TradesQuery], list[Trade]]
"""The venue's trades of a query; `VenueError` when it does not answer, `QueryError` when it has none of that kind."""
Note = Callable[[Iterable[Incident]], None]
"""Stores incidents durably: each before what it names, so that none lacks after a kill; once more changes nothing."""
NameRun = Callable[[int, int], Incident]
"""The incident of a run of trades that are stored: its first and last id."""
PAGE_TRADES = 1_000
"""Trades of one page of a venue's REST side: gaps within so many ids are fetched by one query."""
_SAME_AND_NO_CANDLE = "the venue's trades are the same, and its candle of this time cannot be had; ask again later"
_SEVERAL = "verification: a trade was stored with several values"
Item = TypeVar("Item")
Result = TypeVar("Result")

_log = structlog.get_logger("flows.verify")


class Refilled(Struct, frozen=True):
    """Result for the gaps of a symbol, or for its wrong trades."""

    trades: int = 0
    """Number of trades stored."""
    incidents: tuple[Incident, ...] = ()
    """Incidents that the ledger has of it."""
    left: str = ""
    """What is still missing, why, and what to do; empty when nothing is."""
    removed: int = 0
    """Number of records that could not be read, and are there no more."""


class TradeRefill:
    """Fills gaps in the ids of stored trades, and replaces wrong ones. Nothing is written while another process has the
    store open to write.
    """

    def __init__(
        self,
        path: Path,
        *,
        venue: str,
        partitions: int,
        rules: VenueRules,
        most_trades: int,
        get: GetTrades | None,
        note: Note,
    ) -> None:
        """`path` is the venue's directory of partitions. Without `get` the venue is not queried; a gap of more than
        `most_trades` is left to an import.
        """
        self._path = path
        self._venue = venue
        self._partitions = partitions
        self._rules = rules
        self.most_trades = most_trades
        self._get = get
        self.note = note

    @property
    def can_fetch(self) -> bool:
        """Whether the venue may be asked."""
        return self._get is not None

    def refill(self, symbol: str, gaps: Sequence[IdGap]) -> Refilled:
        """Fills gaps as far as the venue has the trades. `TradeStoreError` when the store cannot be written for another
        reason than being in use; what was filled before stays.
        """
        small = [gap for gap in gaps if gap.last - gap.first < self.most_trades]
        large = [gap for gap in gaps if gap.last - gap.first >= self.most_trades]
        found, why = self._done(symbol, near_each_other(small), lambda store, near: self._fill_all(store, symbol, near))
        if why:
            return Refilled(left=_sentence(symbol, gaps, why))
        done = [one for of_near in found for one in of_near]
        left = [_sentence(symbol, large, _how_to_import(large, self.most_trades))] if large else []
        if unfilled := [gap for gap, one in zip(small, done, strict=True) if one.trades <= gap.last - gap.first]:
            left.append(_sentence(symbol, unfilled, "the venue does not have all of them"))
        incidents = tuple(incident for one in done for incident in one.incidents)
        return Refilled(sum(one.trades for one in done), incidents, "; ".join(left))

    def replace(self, symbol: str, refuted: Sequence[Refutation]) -> Refilled:
        """Stores the venue's trades of these periods in the place of the stored ones, as far as it has them. Where they
        make the candle, the stored ones of other ids are removed. Errors as of `refill`.
        """
        ranges = [(one.query.first_id, one.query.last_id) for one in refuted]
        done, why = self._done(symbol, refuted, self._replace)
        if why:
            return Refilled(left=_wrong_sentence(symbol, ranges, why))
        left = "; ".join(one.left for one in done if one.left)
        incidents = tuple(incident for one in done for incident in one.incidents)
        return Refilled(sum(one.trades for one in done), incidents, left)

    def decide(self, symbol: str, copies: Sequence[DisputedTradesQuery]) -> Refilled:
        """Stores the venue's version of trades that are stored with several, and removes the others. Errors as of
        `refill`.
        """
        what = f"trades {_named([(one.first_id, one.last_id) for one in copies], 'trades')} of {symbol}"
        what = f"{what} are stored with several values"
        return self._decided(symbol, copies, what, _SEVERAL)

    def restore(self, symbol: str, unheld: Sequence[DisputedTradesQuery]) -> Refilled:
        """Stores the venue's trades of candles that have none stored. Errors as of `refill`."""
        what = f"trades {_named([(one.first_id, one.last_id) for one in unheld], 'candles')} of {symbol} are not stored"
        return self._decided(symbol, unheld, what, "verification: no trade of a final candle was stored")

    def _decided(self, symbol: str, queries: Sequence[DisputedTradesQuery], what: str, cause: str) -> Refilled:
        """Stores the venue's trades of these queries, each with an incident of that cause."""
        done, why = self._done(symbol, queries, lambda store, one: self._decide(store, one, cause))
        if why:
            return Refilled(left=f"{what}: {why}")
        incidents = [one for _, found in done for one in found]
        left = "" if all(found for _, found in done) else f"{what}: the venue does not have all of them"
        return Refilled(sum(count for count, _ in done), tuple(incidents), left)

    def remove(self, symbol: str, misplaced: Sequence[Misplaced]) -> Refilled:
        """Removes trades that are stored where they cannot belong, and that the venue does not have there though it has
        those around them. Errors as of `refill`.
        """
        what = f"trades {_named([(one.first, one.last) for one in misplaced], 'runs')} of {symbol}"
        what = f"{what} are stored where they cannot belong"
        done, why = self._done(symbol, misplaced, lambda store, one: self._remove(store, symbol, one))
        if why:
            return Refilled(left=f"{what}: {why}")
        left = "" if all(count for count, _ in done) else f"{what}: the venue has them there, or not those around them"
        return Refilled(sum(count for count, _ in done), tuple(one for _, found in done for one in found), left)

    def _done(
        self, symbol: str, items: Sequence[Item], work: Callable[[TradeStore, Item], Result]
    ) -> tuple[list[Result], str]:
        """The result of each item with the symbol's store; or none, and why nothing can be done."""
        if self._get is None:
            return [], how_to_fetch(symbol)
        part = self._part(symbol)
        try:
            with TradeStore(part) as store:
                return [work(store, item) for item in items], ""
        except StoreInUseError:
            return [], in_use(part)

    def _remove(self, store: TradeStore, symbol: str, one: Misplaced) -> tuple[int, list[Incident]]:
        number, time = one.witness
        around = PastTradesQuery(symbol, number, number, time, time)
        query = PastTradesQuery(symbol, one.first, one.last, one.begin, one.end)
        if not list(self.believed(around, self.answer(around))):
            return 0, []
        true = {trade.id for trade in self.believed(query, self.answer(query))}
        stored = _stored(store, symbol, one.begin, one.end)
        false = tuple(trade for trade, _ in stored if one.first <= trade.id <= one.last and trade.id not in true)
        if not false:
            return 0, []
        cause = "verification: trades were stored among others that follow each other without them"
        outcome = f"{len(false)} of them removed"
        incidents = [Incident("repair", self._venue, symbol, one.begin, one.end, cause, outcome)]
        self.note(incidents)
        _write(store, [TradeBatch(self._venue, symbol, [], late=True, replaced=false)])
        return len(false), incidents

    def _decide(self, store: TradeStore, query: DisputedTradesQuery, cause: str) -> tuple[int, list[Incident]]:
        batch, _ = self._vouched(query)
        if batch is None:
            return 0, []
        outcome = "only what the exchange's REST side has is stored"
        ids, times = (query.first_id, query.last_id), (query.begin, query.end)
        incidents = [Incident("repair", self._venue, query.symbol, *times, cause, outcome, *ids)]
        self.note(incidents)
        _write(store, [batch])
        return len(batch.trades), incidents

    def _replace(self, store: TradeStore, refuted: Refutation) -> Refilled:
        query = refuted.query
        ids = [(query.first_id, query.last_id)]
        batch, why = self._vouched(query)
        if batch is None:
            return Refilled(left=_wrong_sentence(query.symbol, ids, why))
        false = self._false(store, refuted, batch.trades)
        batch = structs.replace(batch, replaced=false)
        known = set(store.ids(query.symbol, batch.begin, batch.end + 1, on_bad=leave_out).tolist())
        changed = sum(trade.id not in known for trade in batch.trades) + len(false)
        incidents: list[Incident] = []

        def before_write(disputes: Sequence[Dispute]) -> None:
            nonlocal changed
            changed += sum(dispute.trades for dispute in disputes)
            if changed or refuted.is_confirmed:
                incidents.append(self._incident_of_wrong(query, changed))
            self.note(incidents)

        _write(store, [batch], before_write)
        _log.info("trades_replaced", symbol=query.symbol, first_id=ids[0][0], last_id=ids[0][1], trades=changed)
        left = "the venue's trades are the same" if incidents else _SAME_AND_NO_CANDLE
        return Refilled(changed, tuple(incidents), "" if changed else _wrong_sentence(query.symbol, ids, left))

    def _vouched(self, query: DisputedTradesQuery) -> tuple[TradeBatch | None, str]:
        """The venue's trades of a query as a batch that it vouches for; or None, and why."""
        try:
            batch = vouched_trades(self._venue, query, self.answer(query))
        except QueryError as error:
            return None, str(error)
        return batch, "" if batch else "the venue does not have them"

    @staticmethod
    def _false(store: TradeStore, refuted: Refutation, trades: Sequence[Trade]) -> tuple[Trade, ...]:
        """The stored trades of a period that the venue does not have, where its own make the candle, so that there are
        no others.
        """
        query = refuted.query
        if not refuted.truth.trades or not is_made_of(refuted.truth, trades):
            return ()
        theirs = {trade.id for trade in trades}
        stored = _stored(store, query.symbol, query.begin, query.end)
        return tuple(trade for trade, fill in stored if trade.id not in theirs and fill == FILLS.index(MARKET_FILL))

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

    def _fill_all(self, store: TradeStore, symbol: str, near: Sequence[IdGap]) -> list[Refilled]:
        """Stores what the venue has of gaps that are near each other, or of one; the result of each."""
        if len(near) == 1:
            return [self.fill(store, symbol, near[0], partial(self._name, symbol))]
        around = structs.replace(near[0], last=near[-1].last, before_time=near[-1].before_time)
        answer = self.answer(_query(symbol, around))
        found = [
            list(self.believed(_query(symbol, gap), [one for one in answer if gap.first <= one.id <= gap.last]))
            for gap in near
        ]
        names = [partial(self._name, symbol, gap) for gap in near]
        noted = self._add_all(store, symbol, list(zip(found, names, strict=True)))
        _log.info("trades_refilled", symbol=symbol, first_id=around.first, last_id=around.last, gaps=len(near))
        return [Refilled(len(trades), tuple(incidents)) for trades, incidents in zip(found, noted, strict=True)]

    def fill(self, store: TradeStore, symbol: str, gap: IdGap, name: Callable[[IdGap, int, int], Incident]) -> Refilled:
        """Stores what the venue has of a gap, part by part, each named in the ledger as if it were the begin of a gap
        of its own: that is what is left after a kill. Errors as of `refill`.
        """
        incidents: list[Incident] = []
        rest, trades = gap, 0
        while rest.first <= rest.last:
            part = structs.replace(rest, last=min(rest.last, rest.first + QUERY_TRADES - 1))
            query = _query(symbol, part)
            found = list(self.believed(query, self.answer(query)))
            incidents += self.add(store, symbol, found, partial(name, rest))
            trades += len(found)
            after_time = found[-1].time if found else rest.after_time
            rest = structs.replace(rest, first=part.last + 1, after_time=after_time)
        _log.info("trades_refilled", symbol=symbol, first_id=gap.first, last_id=gap.last, trades=trades)
        return Refilled(trades, tuple(incidents))

    def answer(self, query: TradesQuery) -> list[Trade]:
        """The venue's answer, whatever it is. `can_fetch` must be true."""
        assert self._get is not None  # noqa: S101 - the caller has checked it
        return self._get(query)

    def believed(self, query: TradesQuery, answer: Sequence[Trade]) -> Iterator[Trade]:
        """An answer without trades that are invalid or were not queried."""
        for trade in answer:
            if reason := fault_of_answer(trade, query, query.end + BACK_MS, self._rules):
                _log.warning("trade_refused", symbol=query.symbol, trade=trade, reason=reason)
            else:
                yield trade

    def add(self, store: TradeStore, symbol: str, trades: list[Trade], name: NameRun) -> list[Incident]:
        """Stores trades, ids rising, beside those that are stored already; returns the incidents of their runs."""
        return self._add_all(store, symbol, [(trades, name)])[0]

    def _add_all(
        self, store: TradeStore, symbol: str, found: Sequence[tuple[list[Trade], NameRun]]
    ) -> list[list[Incident]]:
        """The same of trades of several places, in one write. Only the runs that were stored are named: of the others
        the ledger still says that they lack.
        """
        incidents = [
            [name(run.first_id, run.last_id) for run in runs_of([trade.id for trade in trades], 0, 0)]
            for trades, name in found
        ]
        if any(incidents):
            self.note([incident for of_place in incidents for incident in of_place])
            _write(store, [TradeBatch(self._venue, symbol, trades, late=True) for trades, _ in found if trades])
        return incidents

    def _name(self, symbol: str, gap: IdGap, first: int, last: int) -> Incident:
        cause = f"verification: trades {gap.first} to {gap.last} were not stored"
        outcome = f"{counted(last - first + 1, 'trade')} fetched from the exchange and stored"
        return Incident("repair", self._venue, symbol, gap.after_time, gap.before_time, cause, outcome, first, last)


def near_each_other(gaps: Iterable[IdGap]) -> list[list[IdGap]]:
    """Gaps in their order, those together that one page of the venue holds."""
    groups: list[list[IdGap]] = []
    for gap in gaps:
        is_near = groups and gap.first > groups[-1][-1].last and gap.last - groups[-1][0].first < PAGE_TRADES
        if is_near:
            groups[-1].append(gap)
        else:
            groups.append([gap])
    return groups


def _query(symbol: str, gap: IdGap) -> PastTradesQuery:
    return PastTradesQuery(symbol, gap.first, gap.last, gap.after_time, gap.before_time)


def _write(
    store: TradeStore, batches: Sequence[TradeBatch], before_write: Callable[[Sequence[Dispute]], None] = lambda _: None
) -> None:
    """Adds batches durably, in one write."""
    with store.lock:
        add_batches(store, batches, record_ms=MINUTE_MS, before_write=before_write)
    store.sync()


def _stored(store: TradeStore, symbol: str, begin: int, end: int) -> Iterator[tuple[Trade, int]]:
    """The stored trades of `[begin, end]`, ms UTC, and the codes of their kinds of fill."""
    records = store.records(symbol, minute_of(begin), end + 1, on_bad=leave_out)
    for row in (row for _, columns in records for row in columns.rows()):
        if begin <= row[3] <= end:
            yield Trade(symbol, row[0], row[3], row[4], row[5], bool(row[6]), row[3]), row[7]


def _sentence(symbol: str, gaps: Sequence[IdGap], reason: str) -> str:
    named = _named([(gap.first, gap.last) for gap in gaps], "gaps")
    return f"trades {named} of {symbol} are not stored: {reason}"


def _wrong_sentence(symbol: str, ranges: Sequence[tuple[int, int]], reason: str) -> str:
    return f"trades {_named(ranges, 'candles')} of {symbol} do not make the exchange's candle: {reason}"


def _named(ranges: Sequence[tuple[int, int]], what: str) -> str:
    return few([f"{first} to {last}" for first, last in ranges], what)


def how_to_fetch(symbol: str) -> str:
    """What to do where the venue was not asked."""
    return f"python -m flows.verify --repair --against rest --symbols {symbol} fetches them"


def in_use(part: Path) -> str:
    """What to do where a flow keeps a partition."""
    return f"a flow writes to {part}: stop it, run this again, and start it"


def _how_to_import(gaps: Sequence[IdGap], most_trades: int) -> str:
    return how_to_import(
        min(gap.after_time for gap in gaps), max(gap.before_time for gap in gaps) + 1, most_trades=most_trades
    )


def how_to_import(begin: int, end: int, *, most_trades: int) -> str:
    """What to do where more trades lack than are fetched."""
    return (
        f"feed.repair_trades is {most_trades}: import the time from {begin} to {end} (ms UTC) with"
        " python -m bytewax.run flows.backfill"
    )
