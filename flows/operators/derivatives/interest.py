"""The open interest of one instrument: polled at a steady pace, the past once at the start.

Times rise, so each value leaves once. Instruments are polled one after the other: the phase is by name.
"""

from zlib import crc32

from flows.clock import Now
from flows.model import OpenInterest
from flows.queries import OpenInterestHistoryQuery, OpenInterestQuery, Query, QueryError

HISTORY_MS = 41 * 3_600_000
"""The past that a first start fetches: a page of the exchange's history, in steps of five minutes."""


class Interest:
    """The open interest of one instrument. `known` is the time of the newest value that has left; 0 without any."""

    def __init__(self, symbol: str, *, every_ms: int, known: int = 0) -> None:
        """`every_ms` 0: it is not followed."""
        self._symbol = symbol
        self._every_ms = every_ms
        self.known = known
        self._query_at: int | None = None
        self._is_queried = False
        self._has_past = False

    def begin(self, now: Now) -> None:
        """The instrument is followed."""
        if self._every_ms and self._query_at is None and not self._is_queried:
            self._query_at = now.local + crc32(self._symbol.encode()) % min(self._every_ms, 5_000)

    def queries(self, now: Now) -> list[Query]:
        """The query that is due: first for the past, then at the pace."""
        if self._query_at is None or self._is_queried or now.local < self._query_at or not now.feed:
            return []
        self._is_queried, self._query_at = True, None
        if self._has_past:
            return [OpenInterestQuery(self._symbol)]
        start = max(self.known + 1, now.feed - HISTORY_MS)
        return [OpenInterestHistoryQuery(self._symbol, start, now.feed)]

    def on_answer(
        self, query: Query, answer: OpenInterest | list[OpenInterest] | QueryError, now: Now
    ) -> list[OpenInterest]:
        """The values that are newer than all before, oldest first."""
        self._is_queried = False
        is_past = isinstance(query, OpenInterestHistoryQuery)
        self._has_past |= is_past  # what it does not bring is not there, or comes at the pace
        self._query_at = now.local if is_past else self._following(now)
        if isinstance(answer, QueryError):
            if answer.lasting and not is_past:
                self._query_at = None
            return []
        new = []
        for value in answer if isinstance(answer, list) else [answer]:
            if value.time > self.known:
                self.known = value.time
                new.append(value)
        return new

    def _following(self, now: Now) -> int:
        """The next time of the pace, at this instrument's phase."""
        phase = crc32(self._symbol.encode()) % self._every_ms
        return now.local + self._every_ms - (now.local - phase) % self._every_ms

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until a query is due."""
        return None if self._query_at is None or self._is_queried else max(0, self._query_at - now.local)
