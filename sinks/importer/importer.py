"""Stores the results of an import in order, and reports when they are durable.

A live flow goes on when a store fails. An import can wait, and can be run again: so nothing is ever dropped here, and a
store that takes nothing for too long ends it. A stored candle that is worse proven than the imported one gets it as its
next version, and an incident. An imported candle that contradicts a stored one and is not better proven is an incident
too, and the stored one becomes unproven unless it has a proof or was vouched for.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import structs
from pymongo.errors import PyMongoError

from flows.clock import monotonic_ms
from flows.model import (
    BELIEVED,
    COMPLETE,
    DAY_MS,
    Candle,
    Coverage,
    Incident,
    Instrument,
    StoreOnly,
    TradeBatch,
    evidence,
)
from flows.model.vouched import VouchedTimes
from sinks.importer.versions import Improvement, contested, contradiction, in_doubt, is_same_candle, replacement
from sinks.importer.whole_sources import WholeSources
from sinks.mongo.documents import DocumentError
from sinks.mongo.writer import MongoWriter
from sinks.trades.writer import TradeWriter, part_of

MOST_TRADES = 50_000
"""Most trades that wait for a partition of the store, some 15 MB; with more, the import waits. Far below the capacity
of its buffer.
"""
CHUNK = 1_000
"""Candles in one write."""
REPORT_MS = 5_000
"""Least time between two reports of what is stored: each costs a wait for the stores."""
TIMEOUT_S = 60.0
"""Longest time without a single candle or trade confirmed as stored."""
MOST_DAYS = 100
"""Most days of symbols whose lookups are cached; and days before its end in which a gap marks candles."""
KNOWN_DAYS = 8
"""Most of those with stored candles in memory, a megabyte each."""
LEDGER_S = 20.0
"""Longest time that trades wait for the ledger at once."""
MONGODB, TRADE_STORE = "MongoDB", "the trade store"
"""Names of the stores in messages."""
_LOOK_S = 0.005


class Ledger(Protocol):
    """Where incidents go."""

    def write(self, batch: list[Incident]) -> None:
        """Takes incidents."""


class Importer:
    """The writer of an import. `marker` is the type of the items that mark progress. They are passed to `on_stored`, in
    order, when all items before them and the candles that these make are durable, at most every `REPORT_MS` and at the
    end.

    Trades and candles wait for their stores. When a store takes nothing for `timeout_s`, `on_failure` is called once;
    from then on nothing is taken and nothing is reported as stored.
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
        improvement: Improvement | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """At most `most_candles` and `CHUNK` candles are held. `trades` are the writers of all partitions in order, or
        none; the importer owns all writers and closes them.
        """
        self._candles = candles
        self._most_candles = most_candles
        self._trades = trades
        self._ledger = ledger
        self._marker = marker
        self._on_stored = on_stored
        self._on_failure = on_failure
        self._improvement = improvement
        self._stored: dict[tuple[str, int], dict[tuple[str, int], Candle]] = {}
        self._newest: dict[str, int] = {}
        """By symbol the newest day that was looked up."""
        self._day: tuple[str, int] = ("", 0)
        self._of_day: dict[tuple[str, int], Candle] = {}
        """The newest versions of a day with stored candles, which is compared when it is over."""
        self._vouched = VouchedTimes()
        self._wholes = WholeSources()
        self._timeout_s = timeout_s
        self._reached: list[Any] = []
        self._undecided: list[Any] = []
        """The newest marker, as long as candles before it are not closed: the first trade behind it decides."""
        self._open_until: int | None = None
        """End of the newest trades, ms UTC, where what follows closes their last candles."""
        self._reported_ms = monotonic_ms()
        self._has_failed = False
        self._is_closed = False
        self.proofs: Counter[str] = Counter()
        """Closed candles by the result of the comparison with the exchange's."""

    def write(self, batch: list[list[Any]]) -> None:
        """Takes items in order; waits for the stores."""
        for items in batch:
            self._take_all(items)
        if self._reached and monotonic_ms() - self._reported_ms >= REPORT_MS:
            self._report_stored()

    def close(self) -> None:
        """Stores everything, and closes the stores."""
        if self._is_closed:
            return
        self._is_closed = True
        self._write_day()
        self._decide()
        self._report_stored()
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
                case StoreOnly():
                    candles.append(item.candle)
                case TradeBatch():
                    self._take_trades(self._wholes.marked(item))
                case Incident():
                    self._take_candles(candles)
                    candles = []
                    self._take_incident(item)
                case Coverage():
                    self._take_coverage(item)
                case _ if isinstance(item, self._marker):
                    self._take_candles(candles)
                    self._write_day()
                    candles = []
                    self._take_marker(item)
        self._take_candles(candles)

    def _take_coverage(self, coverage: Coverage) -> None:
        if coverage.is_over:
            is_decided = coverage.vouched == "all" or not coverage.goes_on
            self._open_until = None if is_decided else coverage.end
            for batch in self._wholes.end(coverage) if coverage.has_trades else ():
                self._take_trades(batch)
            return
        self._vouched.take(coverage)
        if coverage.has_trades:
            self._wholes.begin(coverage)

    def _take_marker(self, marker: Any) -> None:
        """A process that is begun again may read from here on: so it must find every candle before it stored."""
        self._decide()
        is_decided = self._open_until is None or self._candles is None
        (self._reached if is_decided else self._undecided).append(marker)

    def _decide(self) -> None:
        """The candles before the newest marker are closed, and written."""
        self._reached += self._undecided
        self._undecided = []

    def _take_candles(self, candles: list[Candle]) -> None:
        self.proofs.update(candle.proof for candle in candles)
        if self._candles is None:
            return
        straight = []
        for candle in candles:
            day = candle.symbol, candle.open_time - candle.open_time % DAY_MS
            if day != self._day:
                self._write_day()
                self._day = day
            if self._stored_on(day):
                self._of_day[candle.timeframe, candle.open_time] = candle
            else:
                straight.append(candle)
        self._write_candles(straight)
        if self._undecided and any(candle.open_time >= (self._open_until or 0) for candle in candles):
            self._decide()  # another day has begun, so all of the one before is written

    def _write_candles(self, candles: list[Candle]) -> None:
        for start in range(0, len(candles), CHUNK):
            if self._candles is None or not self._wait(self._candles, most=self._most_candles, store=MONGODB):
                return
            self._candles.write(candles[start : start + CHUNK])

    def _write_day(self) -> None:
        """Writes each candle of the day as the next version of a stored one that is worse, if there is one. Only the
        last version of each is compared: a day's candles are complete when it is over.
        """
        candles, self._of_day = self._of_day, {}
        if not candles:
            return
        assert self._improvement is not None  # noqa: S101 - without it nothing is known to be stored
        stored_on = self._stored_on(self._day)
        out: list[Candle] = []
        replaced: list[Candle] = []
        disputed: list[Candle] = []
        contradicted: list[Candle] = []
        refuted: list[Candle] = []
        for place, candle in candles.items():
            stored = stored_on.get(place)
            version = candle if stored is None else self._next_version(candle, stored)
            if stored is not None and not is_same_candle(version, stored):
                replaced.append(stored)
                if version.status == "venue" and stored.status in COMPLETE:
                    refuted.append(stored)
            if stored is not None and is_same_candle(version, stored) and self._improvement.contradicts(candle, stored):
                disputed.append(stored)
            if version is stored:
                if disputed and disputed[-1] is stored:
                    stored_on[place] = contested(
                        stored, was_vouched=self._improvement.origin_of(stored).has_vouched_trades
                    )
                    contradicted += [stored_on[place]] if stored_on[place] is not stored else []
                continue
            if version.is_closed:
                stored_on[place] = version
            out.append(version)
        doubted = in_doubt(refuted, stored_on, {(candle.timeframe, candle.open_time) for candle in out})
        stored_on.update({(candle.timeframe, candle.open_time): candle for candle in doubted})
        incidents = [replacement(replaced)] if replaced else []
        incidents += [contradiction(disputed, len(contradicted))] if disputed else []
        if incidents:
            self._ledger.write(incidents)
        self._write_candles([*out, *contradicted, *doubted])

    def _next_version(self, candle: Candle, stored: Candle) -> Candle:
        """The version to write; the stored one where that is as good, whatever revision the new one has, as an import
        counts from 0. All revisions of one import count as one.
        """
        assert self._improvement is not None  # noqa: S101 - as above
        version = self._improvement.improved(
            candle,
            stored,
            origin=self._vouched.origin_of(candle),
            stored_origin=self._improvement.origin_of(stored),
        )
        if version is candle:
            return stored
        if version.revision == stored.revision:
            return version
        return structs.replace(version, revision=max(stored.revision + 1, candle.revision))

    def _take_incident(self, incident: Incident) -> None:
        self._ledger.write([incident])
        if incident.kind == "gap" and incident.first_id >= 0 and self._candles is not None:
            self._mark_gap(incident)

    def _mark_gap(self, gap: Incident) -> None:
        """Marks stored candles without trades within a gap as `partial`, however old they are."""
        first = gap.begin - gap.begin % DAY_MS
        for begin in range(max(first, gap.end - MOST_DAYS * DAY_MS), gap.end + 1, DAY_MS):
            stored_on = self._stored_on((gap.symbol, begin))
            for place, stored in list(stored_on.items()):
                is_inside = stored.close_time >= gap.begin and stored.open_time <= gap.end
                is_unsure = stored.status in BELIEVED and not (stored.trades or stored.proof)
                if is_inside and is_unsure and self._may_change(stored):
                    stored_on[place] = structs.replace(stored, status="partial", revision=stored.revision + 1)
                    self._write_candles([stored_on[place]])

    def _may_change(self, stored: Candle) -> bool:
        """Whether what is read now speaks for its values as much as what the stored candle is made of."""
        assert self._improvement is not None  # noqa: S101 - nothing is known to be stored without it
        return evidence(stored, self._vouched.origin_of(stored)) >= evidence(
            stored, self._improvement.origin_of(stored)
        )

    def _stored_on(self, day: tuple[str, int]) -> dict[tuple[str, int], Candle]:
        """The candles of a symbol's day that were stored before the import reached it, in their current versions."""
        if self._improvement is None:
            return {}
        if day not in self._stored:
            self._forget_old_days()
            self._store_what_may_be_of(*day)
            self._stored[day] = {(stored.timeframe, stored.open_time): stored for stored in self._known_of(*day)}
        return self._stored[day]

    def _forget_old_days(self) -> None:
        """Limits the cache. Days without stored candles stay longer: what this import has stored of such a day must not
        be compared with what it stores next.
        """
        known = [day for day, candles in self._stored.items() if candles]
        for day in known[: max(0, len(known) + 1 - KNOWN_DAYS)]:
            del self._stored[day]
        if len(self._stored) >= MOST_DAYS:
            del self._stored[next(iter(self._stored))]

    def _store_what_may_be_of(self, symbol: str, begin: int) -> None:
        """Waits until all is stored before a day is looked up that may have been written already."""
        if self._candles is not None and begin <= self._newest.get(symbol, -1):
            self._wait(self._candles, most=0, store=MONGODB)
        self._newest[symbol] = max(begin, self._newest.get(symbol, -1))

    def _known_of(self, symbol: str, begin: int) -> list[Candle]:
        """The stored candles of a day; waits for the server."""
        assert self._improvement is not None  # noqa: S101 - the caller has checked it
        until_ms = monotonic_ms() + self._timeout_s * 1_000
        while not self._has_failed:
            try:
                return self._improvement.known(symbol, begin, begin + DAY_MS)
            except DocumentError as error:
                self._has_failed = True
                self._on_failure(str(error))
            except PyMongoError:
                if monotonic_ms() > until_ms:
                    self._fail(MONGODB, "did not answer")
                time.sleep(_LOOK_S)
        return []

    def _take_trades(self, batch: TradeBatch) -> None:
        if not self._trades:
            return
        writer = self._trades[part_of(Instrument(batch.venue, batch.symbol).key, len(self._trades))]
        if self._wait(writer, most=MOST_TRADES, store=TRADE_STORE):
            writer.write([batch])

    def _report_stored(self) -> None:
        """Waits until everything is stored, and reports it."""
        for writer in self._trades:
            if not self._has_failed and not writer.flush(timeout_s=self._timeout_s):
                self._fail(TRADE_STORE, "confirmed nothing")
        if self._candles:
            self._wait(self._candles, most=0, store=MONGODB)
        if self._reached and not self._has_failed:
            self._on_stored(self._reached)
        self._reached = []
        self._reported_ms = monotonic_ms()

    def _wait(self, writer: MongoWriter | TradeWriter, *, most: int, store: str) -> bool:
        """Waits until a writer holds no more than `most`. False when a store has failed."""
        least, since_ms = writer.held, monotonic_ms()
        while (held := writer.held) > most and not self._has_failed:
            if held < least:
                least, since_ms = held, monotonic_ms()
            elif monotonic_ms() - since_ms > self._timeout_s * 1_000:
                self._fail(store, "confirmed nothing")
            if isinstance(writer, TradeWriter):
                writer.flush(timeout_s=_LOOK_S)  # without it the writer waits for more
            else:
                time.sleep(_LOOK_S)
        return not self._has_failed

    def _fail(self, store: str, did: str) -> None:
        self._has_failed = True
        why = f" ({cause})" if self._candles and store == MONGODB and (cause := self._candles.outage) else ""
        self._on_failure(f"{store} {did} for {self._timeout_s:g} s{why}: see to it, and run the import again")


def are_incidents_stored(candles: MongoWriter) -> bool:
    """Waits until all incidents that a writer has are stored. False when that lasts longer than `LEDGER_S`."""
    until_ms = monotonic_ms() + LEDGER_S * 1_000
    while any(isinstance(item, Incident) for item in candles.pending()):
        if monotonic_ms() > until_ms:
            return False
        time.sleep(_LOOK_S)
    return True
