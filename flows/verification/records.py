"""Replaces records of trades that cannot be read: their trades are fetched from the venue, and then they are removed.

A record is removed when nothing is lost with it that the venue has. Where its trades are, its key says, and its own
column of times: either may be what is wrong. There every id between the trades that can be read must be stored, or all
ids that the record itself names; what the venue does not have of them is left as a gap like any other.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Final

import structlog
from msgspec import Struct

from flows.bounds import BACK_MS, LATEST_MS
from flows.clock import wall_ms
from flows.model import Incident, Trade
from flows.operators.trades.gaps import QUERY_TRADES
from flows.queries import PastTradesQuery
from flows.texts import counted
from flows.verification.checks.findings import few
from flows.verification.checks.symbol import EARLIEST_MS
from flows.verification.checks.trade_ids import IdGap
from flows.verification.checks.unreadable import UnreadableRecord
from flows.verification.refill import NameRun, Refilled, TradeRefill, how_to_fetch, how_to_import, in_use
from sinks.trades.codec import MINUTE_MS, TradeColumns, minute_of
from sinks.trades.reader import TradeView
from sinks.trades.record_checks import ids_in, times_in
from sinks.trades.store import StoreInUseError, TradeStore
from sinks.trades.stored_records import leave_out

AHEAD: Final = "its time is ahead of this machine's clock"
Place = tuple[int, int]
"""Times of trades, ms UTC, both inclusive."""
Known = tuple[int, int]
"""Id and time of a stored trade."""

_OF_ITS_TIME: Final = "{} of its time fetched from the exchange and stored"

_log = structlog.get_logger("flows.verify")


class _Outcome(Struct, frozen=True):
    """What has become of one record."""

    record: UnreadableRecord
    fetched: frozenset[int] = frozenset()
    """Ids of the trades that were fetched for it."""
    incidents: tuple[Incident, ...] = ()
    why_left: str = ""
    """Why it is there as before; empty when it is not."""


class _Fetched:
    """What has been fetched for one record."""

    def __init__(self, name: NameRun) -> None:
        """`name` makes the incidents of what is stored."""
        self.name = name
        self.ids: set[int] = set()
        self.incidents: list[Incident] = []
        self._before = 0

    def begin_place(self) -> None:
        """From here on another place is completed."""
        self._before = len(self.ids)

    @property
    def has_of_place(self) -> bool:
        """Whether something was fetched for the place that is completed."""
        return len(self.ids) > self._before

    def take(self, incidents: Iterable[Incident]) -> None:
        """Takes those of what was stored, each with its ids."""
        for one in incidents:
            self.incidents.append(one)
            self.ids.update(range(one.first_id, one.last_id + 1))


class RecordRepair:
    """Replaces the records of one venue's store. Nothing is written while another process has it open to write."""

    def __init__(self, refill: TradeRefill, *, venue: str, latest: int) -> None:
        """`latest` is the latest time of a trade by this machine's clock, ms UTC."""
        self._refill = refill
        self._venue = venue
        self._latest = latest

    def repair(self, symbol: str, records: Iterable[UnreadableRecord], before: Refilled) -> Refilled:
        """Replaces records of a symbol, after its gaps were refilled, with the result `before`. `VenueError` when the
        venue does not answer, `TradeStoreError` when the store cannot be written for another reason than being in use;
        what was done before stays.
        """
        done: list[_Outcome] = []
        for path, found in groupby(sorted(records, key=attrgetter("path", "start")), attrgetter("path")):
            of_path = list(found)
            try:
                with TradeStore(path) as store:
                    done += [self._repair(store, symbol, record, before) for record in of_path]
            except StoreInUseError:
                done += [_Outcome(record, why_left=in_use(path)) for record in of_path]
        incidents = tuple(incident for one in done for incident in one.incidents)
        fetched = {number for one in done for number in one.fetched}
        gone = [one for one in done if not one.why_left]
        return Refilled(len(fetched), incidents, _left(symbol, done), len(gone))

    # --- one record ---

    def _repair(self, store: TradeStore, symbol: str, record: UnreadableRecord, before: Refilled) -> _Outcome:
        value = store.value(record.key)
        places = self._places(record, value) if symbol else []
        begin, end = places[0] if places else (wall_ms(), wall_ms())
        cause = f"verification: the stored record {record.name} could not be read, {record.reason}"
        line = partial(Incident, "repair", self._venue, symbol, begin, end, cause)
        fetched = _Fetched(
            lambda first, last: line(_OF_ITS_TIME.format(counted(last - first + 1, "trade")), first, last)
        )
        is_bad = value is not None and self._is_bad(store, symbol, record)
        own = set(ids_in(value)) if value is not None else set()
        why = self._complete_all(store, symbol, places, own, before, fetched) if is_bad else ""
        if why:
            return _Outcome(record, frozenset(fetched.ids), tuple(fetched.incidents), why)
        if not fetched.incidents:
            fetched.incidents.append(line("it is there no more"))
            self._refill.note(fetched.incidents)
        if is_bad and self._is_bad(store, symbol, record):  # what was fetched may be stored under its key
            store.remove(record.key)
            store.sync()
        _log.info("trade_record_removed", record=record.name, reason=record.reason, fetched=len(fetched.ids))
        return _Outcome(record, frozenset(fetched.ids), tuple(fetched.incidents))

    def _places(self, record: UnreadableRecord, value: bytes | None) -> list[Place]:
        """Where the trades of a record may belong, as its times and its key say."""
        own = times_in(value) if value is not None else None
        of_key = (record.start, record.end)
        places = [of_key] if own is None or of_key[0] <= own[0] <= of_key[1] else [own, of_key]
        return [place for place in places if place[0] >= EARLIEST_MS and place[1] <= LATEST_MS]

    def _is_bad(self, store: TradeStore, symbol: str, record: UnreadableRecord) -> bool:
        """Whether it is still there, and not what was fetched in its place."""
        if not EARLIEST_MS <= record.start <= LATEST_MS:
            return True
        bad: list[bytes] = []
        for _ in store.records(symbol, record.start, record.start + 1, on_bad=lambda one: bad.append(one.key)):
            pass
        return record.key in bad

    def _complete_all(
        self, store: TradeStore, symbol: str, places: Sequence[Place], own: set[int], before: Refilled, to: _Fetched
    ) -> str:
        """Fetches what lacks at the places of a record with the ids `own`. Returns why the record must stay; no reason
        when nothing is lost with it.
        """
        whys = [] if places else [before.left]
        # where trades are stored on both sides first: at an end all up to a false time would be fetched
        for place in sorted(places, key=lambda place: not _around(store, symbol, place).is_inside):
            if own and own <= _ids_near(store, symbol, places):
                return ""
            to.begin_place()
            why = self._complete(store, symbol, place, sorted(own), to)
            has_answered = to.has_of_place or any(
                one.begin <= place[1] and one.end >= place[0] for one in before.incidents
            )
            whys += [why] if why and not has_answered else []
        if own and own <= _ids_near(store, symbol, places):
            return ""
        return next(filter(None, whys), "")

    # --- one place ---

    def _complete(self, store: TradeStore, symbol: str, place: Place, own: Sequence[int], to: _Fetched) -> str:
        """Fetches what lacks at a place. Returns why something still lacks."""
        if place[0] > self._latest:
            return AHEAD
        around = _around(store, symbol, place)
        if around.is_whole:
            return ""
        if not self._refill.can_fetch:
            return how_to_fetch(symbol)
        gaps = around.gaps
        if not around.known and own:
            gaps = [IdGap(own[0], own[-1], *place)]
        small = [gap for gap in gaps if gap.last - gap.first < self._refill.most_trades]
        for gap in small:
            to.take(self._refill.fill(store, symbol, gap, lambda _, first, last: to.name(first, last)).incidents)
        is_open = len(small) < len(gaps) or not (around.known or own)
        if around.known and not around.has_later:
            is_open |= not self._fetch_behind(store, symbol, around.known[-1], place[1], to)
        if around.known and not around.has_earlier:
            is_open |= not self._fetch_ahead(store, symbol, around.known[0], place[0], to)
        if is_open:
            return how_to_import(place[0], place[1] + 1, most_trades=self._refill.most_trades)
        return "the venue does not have all of its trades" if _around(store, symbol, place).gaps else ""

    def _fetch_behind(self, store: TradeStore, symbol: str, last: Known, end: int, to: _Fetched) -> bool:
        """Fetches the trades from the last one that is stored up to a time. Returns whether that has been all."""
        following = last[0] + 1
        while following - last[0] <= self._refill.most_trades:
            query = PastTradesQuery(symbol, following, following + QUERY_TRADES - 1, last[1], end)
            answer = self._refill.answer(query)
            self._take(store, query, [trade for trade in answer if trade.time <= end], to)
            if not answer:
                return to.has_of_place
            if answer[-1].time > end:
                return answer[0].id == following
            following = answer[-1].id + 1
        return False

    def _fetch_ahead(self, store: TradeStore, symbol: str, first: Known, begin: int, to: _Fetched) -> bool:
        """Fetches the trades from a time up to the first one that is stored. Returns whether that has been all."""
        last = first[0] - 1
        while last >= 0 and first[0] - last <= self._refill.most_trades:
            query = PastTradesQuery(symbol, max(0, last - QUERY_TRADES + 1), last, begin, first[1])
            answer = self._refill.answer(query)
            self._take(store, query, [trade for trade in answer if trade.time >= begin], to)
            if not answer:
                return to.has_of_place
            if answer[0].time < begin:
                return answer[-1].id == last
            last = query.first_id - 1
        return last < 0

    def _take(self, store: TradeStore, query: PastTradesQuery, answer: Sequence[Trade], to: _Fetched) -> None:
        trades = list(self._refill.believed(query, answer))
        to.take(self._refill.add(store, query.symbol, trades, to.name))


class _Around(Struct, frozen=True):
    """The trades around a place that can be read."""

    known: list[Known]
    """By id: those of the minutes around it, and the nearest ones before and behind these."""
    has_earlier: bool
    """Whether one of them is earlier than the place."""
    has_later: bool
    gaps: list[IdGap]
    """Ids that lack between them, as far as they may be of the place."""

    @property
    def is_inside(self) -> bool:
        """Whether trades are stored on both sides."""
        return self.has_earlier and self.has_later

    @property
    def is_whole(self) -> bool:
        """Whether every trade of the place is stored."""
        return self.is_inside and not self.gaps


def _around(store: TradeStore, symbol: str, place: Place) -> _Around:
    begin, end = place
    low, high = minute_of(begin) - MINUTE_MS, minute_of(end) + 2 * MINUTE_MS
    columns = ("id", "time")
    frame = TradeView([store]).trades(symbol, low, high, every_fill=True, columns=columns, on_bad=leave_out)
    known: list[Known] = list(frame.select("id", "time").iter_rows())
    if (found := store.before(symbol, low)) is not None:
        known.append(_known_of(found[1], -1))
    if (found := store.from_on(symbol, high)) is not None:
        known.append(_known_of(found[1], 0))
    known.sort()
    gaps = [
        IdGap(first[0] + 1, last[0] - 1, first[1], last[1])
        for first, last in pairwise(known)
        if last[0] - first[0] > 1
        and min(first[1], last[1]) <= end + BACK_MS
        and max(first[1], last[1]) >= begin - BACK_MS
    ]
    return _Around(known, any(time < begin for _, time in known), any(time > end for _, time in known), gaps)


def _known_of(columns: TradeColumns, place: int) -> Known:
    row = list(columns.rows())[place]
    return row[0], row[3]


def _ids_near(store: TradeStore, symbol: str, places: Iterable[Place]) -> set[int]:
    """The ids that are stored around places."""
    found: set[int] = set()
    for begin, end in places:
        found |= set(store.ids(symbol, begin - MINUTE_MS, end + MINUTE_MS, on_bad=leave_out).tolist())
    return found


def _left(symbol: str, done: Sequence[_Outcome]) -> str:
    """What is there as before, by the reason."""
    names: dict[str, list[str]] = {}
    for one in done:
        if one.why_left:
            names.setdefault(one.why_left, []).append(one.record.name)
    return "; ".join(
        f"{_named(found)} of {symbol or 'no symbol'} cannot be read: {why}" for why, found in names.items()
    )


def _named(names: Sequence[str]) -> str:
    return f"records {few(names)}" if len(names) > 1 else f"record {names[0]}"
