"""The mark price of one instrument: the newest report counts, and one that stands still is noticed.

The laws:
* Event times rise. A report that is not newer changes nothing: redundant connections bring each twice.
* A stream whose reports do not get newer stands still, however many come: `STILL_REPORTS` of them over `STILL_MS`.
* Whether reports come at all is for those who watch the connection. Without any for `POLL_MS`, because none are
  subscribed or a line is down, the exchange's REST side is queried, so that the price is never much older than that.
"""

from typing import Final

from msgspec import structs

from flows.clock import Now
from flows.model import MarkPrice, MarkReport
from flows.operators.time_gate import AHEAD_MS
from flows.queries import MarkQuery, QueryError

STILL_REPORTS: Final = 10
"""Reports in a row that are not newer, and"""
STILL_MS: Final = 10_000
"""local time without a newer one, until a stream stands still."""
POLL_MS: Final = 30_000
"""Local time without a report, after which the price is queried, and between two queries."""
FIRST_POLL_MS: Final = 3_000
"""The same at the start."""


class Marks:
    """Follows the reports of one instrument."""

    def __init__(self, venue: str, symbol: str) -> None:
        self._venue, self._symbol = venue, symbol
        self.newest: MarkReport | None = None
        self._advanced_at = 0
        """Local time of the newest one."""
        self._repeats = 0
        self._is_still = False
        self._poll_at: int | None = None
        self._is_queried = False

    def take(self, reports: list[MarkReport], now: Now) -> list[MarkPrice]:
        """The newest of these reports, if it is newer than all before."""
        newest = max(reports, key=lambda report: report.event_time)
        known = self.newest
        # a venue's clock that was wrong is set back: then nothing would ever be newer
        if known and newest.event_time <= known.event_time <= now.feed + AHEAD_MS:
            self._repeats += len(reports)
            return []
        return self._advance(newest, now)

    def _advance(self, report: MarkReport, now: Now) -> list[MarkPrice]:
        self.newest, self._advanced_at, self._repeats = report, now.local, 0
        self._poll_at = now.local + POLL_MS
        return [MarkPrice(venue=self._venue, **structs.asdict(report))]

    def begin(self, now: Now) -> None:
        """Streams of the instrument are confirmed anew."""
        self._repeats, self._is_still = 0, False
        self._advanced_at = now.local
        if self._poll_at is None:
            self._poll_at = now.local + FIRST_POLL_MS

    def stillness(self, now: Now) -> str | None:
        """Why its stream stands still, "" when it goes on again; None while nothing has changed."""
        still = self._repeats >= STILL_REPORTS and now.local - self._advanced_at >= STILL_MS
        if still is self._is_still:
            return None
        self._is_still = still
        return "the mark price stands still: reports come, and none is newer" if still else ""

    def query(self, now: Now) -> list[MarkQuery]:
        """The query that is due."""
        if self._poll_at is None or self._is_queried or now.local < self._poll_at:
            return []
        self._is_queried = True
        return [MarkQuery(self._symbol)]

    def on_answer(self, answer: MarkReport | QueryError, now: Now) -> list[MarkPrice]:
        """The price of REST, unless the stream has brought a newer one. It says nothing about the stream."""
        self._is_queried = False
        self._poll_at = now.local + POLL_MS
        if isinstance(answer, QueryError):
            if answer.lasting:
                self._poll_at = None
            return []
        if self.newest and answer.event_time <= self.newest.event_time:
            return []
        repeats, advanced_at = self._repeats, self._advanced_at
        out = self._advance(answer, now)
        self._repeats, self._advanced_at = repeats, advanced_at
        return out

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until a query is due."""
        return None if self._poll_at is None or self._is_queried else max(0, self._poll_at - now.local)
