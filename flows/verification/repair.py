"""Rewrites wrong and missing candles from the stored trades, where every trade of them is stored, and requests a
running flow to publish them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from msgspec import structs

from flows.clock import wall_ms
from flows.model import Candle, Incident, timeframe_ms
from flows.operators.candles.reconcile import KEPT_MS
from flows.texts import counted
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.findings import Finding, few, moment
from flows.verification.checks.reading import Stores
from flows.verification.checks.unreadable import UnreadableCandle, UnreadableDocument
from flows.verification.refill import how_to_fetch
from sinks.mongo.commands import Work
from sinks.mongo.documents import MARKET_DATA
from sinks.mongo.store import CandleStore

WRITE_TIMEOUT_S = 10.0
OLD_ENOUGH_MS = KEPT_MS
"""Time after its end for which a live flow may still amend a candle, with its own revisions."""
MOST_REQUESTS = 100
"""Most requests of each symbol and timeframe that a repair submits to a running flow."""
MOST_A_REQUEST = 500
"""Most candles of one request: what a hub can send its clients at once."""
_ABSENT = ("missing", "added")
_REPAIRABLE = ("candle", "status", *_ABSENT)

_log = structlog.get_logger("flows.verify")


class CandleRepair:
    """Rewrites candles: one revision higher, `repaired`, and with an incident."""

    def __init__(self, stores: Stores, store: CandleStore, *, venue: str, submit: Callable[[Work], object]) -> None:
        """`submit` stores a request for a running flow."""
        self._stores = stores
        self._store = store
        self._venue = venue
        self._submit = submit
        self._young: set[tuple[str, int]] = set()
        """Wrong candles that a live flow may still amend, since the last `take_left`: timeframe and open time."""

    def repair(
        self, findings: Iterable[Finding], recounted: Mapping[tuple[str, int], Candle], *, until: int
    ) -> list[Candle]:
        """Rewrites the candles that were found wrong and have a correct version in `recounted`, if they ended long
        enough before `until`, ms UTC. Returns those written; `PyMongoError` when the server does not take them.
        """
        wrong = {(f.timeframe, f.open_time) for f in findings if f.kind in _REPAIRABLE}
        missing = {f.timeframe for f in findings if f.kind in _ABSENT}
        written: list[Candle] = []
        for (timeframe, open_time), candle in recounted.items():
            stored = self._stored(candle)
            is_wanted = (timeframe, open_time) in wrong or (stored is None and timeframe in missing)
            if not is_wanted:
                continue
            is_readable = stored is not None and not stored.fault
            if is_readable and open_time + timeframe_ms(timeframe) > until - OLD_ENOUGH_MS:
                self._young.add((timeframe, open_time))
            else:
                written += self._write(candle, stored)
        return written

    def take_left(self, symbol: str) -> str:
        """Which wrong candles were left to a flow since the last call, and what to do; empty when none were."""
        names = [f"{timeframe} {moment(open_time)}" for timeframe, open_time in sorted(self._young)]
        self._young.clear()
        if not names:
            return ""
        minutes = OLD_ENOUGH_MS // 60_000
        return (
            f"{symbol}: candles that ended within {minutes} min before the newest trade or candle are left, as a "
            f"running flow may still amend them ({few(names)}): repair again when they are older"
        )

    def note(self, incidents: Iterable[Incident]) -> None:
        """Stores incidents. `PyMongoError` when the server does not take them."""
        if noted := list(incidents):
            self._store.store(noted, timeout_s=WRITE_TIMEOUT_S)

    def republish(self, written: Iterable[Candle]) -> int:
        """Requests a running flow to publish what was written, the newest runs of each timeframe. Returns the number of
        requests; one that no flow takes expires after an hour. `PyMongoError` when the server does not take them.
        """
        open_times: dict[tuple[str, str], set[int]] = {}
        for candle in written:
            open_times.setdefault((candle.symbol, candle.timeframe), set()).add(candle.open_time)
        requests = 0
        for (symbol, timeframe), times in open_times.items():
            runs = _runs(sorted(times), timeframe_ms(timeframe))[-MOST_REQUESTS:]
            for start, end in runs:
                self._submit(Work("republish", self._venue, symbol, timeframe, start, end))
            requests += len(runs)
        return requests

    def _stored(self, candle: Candle) -> StoredCandle | None:
        end = candle.open_time + 1
        found = self._stores.candles(candle.symbol, candle.timeframe, candle.open_time, end)
        return found[0] if found else None

    def _write(self, candle: Candle, stored: StoredCandle | None) -> list[Candle]:
        revision = 0 if stored is None else max(0, stored.candle.revision) + 1
        new = structs.replace(candle, revision=revision)
        was = "missing" if stored is None else f"wrong in revision {stored.candle.revision}"
        incident = Incident(
            "repair",
            self._venue,
            candle.symbol,
            candle.open_time,
            candle.close_time,
            cause=f"verification: the {candle.timeframe} candle was {was}, and every trade of it is stored",
            outcome=f"rewritten from the stored trades as revision {revision}",
            first_id=candle.first_id,
            last_id=candle.last_id,
        )
        # a newer version may come before the candle, and a kill: a line too many, and none too few
        self.note([incident])
        if stored is not None and stored.fault:
            self._store.replace(new, timeout_s=WRITE_TIMEOUT_S)
        elif not self._store.store([new], timeout_s=WRITE_TIMEOUT_S).closed:
            return []
        _log.info("candle_repaired", symbol=candle.symbol, timeframe=candle.timeframe, open_time=candle.open_time)
        return [new]

    # --- documents that cannot be read, and that nothing replaces ---

    def remove_documents(self, documents: Sequence[UnreadableDocument]) -> int:
        """Removes documents that are in no series, each with an incident; returns their number. `PyMongoError` when the
        server does not take that.
        """
        for one in documents:
            where = {"_id": one.id}
            what = "an entry of the ledger" if one.is_of_ledger else "a document of no series"
            self._remove(one.collection, where, "", f"{what} could not be read: {one.name}, {one.fault}")
        return len(documents)

    def remove_outside(self, symbol: str, earliest: int, latest: int) -> int:
        """Removes the candles of a symbol that do not open in `[earliest, latest)`, ms UTC, which no candle can."""
        where = {**self._of(symbol), "open_time": {"$not": {"$gte": earliest, "$lt": latest}}}
        return self._remove(MARKET_DATA, where, symbol, "candles had an open_time that cannot be")

    def remove_running(self, symbol: str, unreadable: Sequence[UnreadableCandle]) -> tuple[int, str]:
        """Removes the unreadable documents of periods that are not over, which a flow stores anew. Returns how many,
        and a sentence about the others.
        """
        removed = 0
        for one in unreadable:
            if one.is_running:
                where = {**self._of(symbol), "timeframe": one.timeframe, "open_time": one.open_time}
                what = f"the running {one.timeframe} candle could not be read: {one.fault}"
                removed += self._remove(MARKET_DATA, where, symbol, what)
        others = [f"{one.timeframe} {one.open_time}" for one in unreadable if not one.is_running]
        if not others:
            return removed, ""
        named = f"candles {few(others)} of {symbol} cannot be read"
        return removed, f"{named}, and not all their trades are stored: {how_to_fetch(symbol)}"

    def _of(self, symbol: str) -> dict[str, Any]:
        return {"venue": self._venue, "symbol": symbol}

    def _remove(self, collection: str, where: Mapping[str, Any], symbol: str, cause: str) -> int:
        removed = self._store.remove(collection, where, timeout_s=WRITE_TIMEOUT_S)
        if removed:
            now = wall_ms()
            outcome = "removed" if removed == 1 else f"{counted(removed, 'document')} removed"
            self.note([Incident("repair", self._venue, symbol, now, now, f"verification: {cause}", outcome)])
            _log.info("document_removed", collection=collection, symbol=symbol, documents=removed, cause=cause)
        return removed


def _runs(open_times: Iterable[int], length: int) -> list[tuple[int, int]]:
    """Begin and end of runs of adjacent candles, at most `MOST_A_REQUEST` each; `open_times` rise."""
    runs: list[tuple[int, int]] = []
    for open_time in open_times:
        if runs and runs[-1][1] == open_time and open_time - runs[-1][0] < MOST_A_REQUEST * length:
            runs[-1] = runs[-1][0], open_time + length
        else:
            runs.append((open_time, open_time + length))
    return runs
