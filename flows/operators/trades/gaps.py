"""What is missing in a sequence of trades, and when it is queried: the gap that everything waits for, and the gaps that
were given up and may still be filled.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct, structs

from flows.clock import Now
from flows.operators.delay import doubled_ms
from flows.queries import QueryError, TradesQuery

QUERY_TRADES = 10_000
"""Ids in one query: enough to fill ten of the venue's pages, few enough to go on in between."""
RETRY_MS = 500
"""First delay before the ids of the pending gap are queried again; doubles with each failure, up to
`LONGEST_RETRY_MS`.
"""
LONGEST_RETRY_MS = 128_000
LATER_MS = 60_000
"""First delay before the ids of a gap that was given up are queried again; doubles with each failure, up to
`LONGEST_LATER_MS`.
"""
LONGEST_LATER_MS = 3_600_000
ENOUGH_TRIES = 3
"""Answers without the missing ids, after which the venue is taken not to have them either."""
MAX_GAPS = 1_000
"""Gaps remembered for what may still fill them; one more, and the oldest is dropped: its trades count as duplicates
from then on.
"""


class PendingGap(Struct):
    """Missing ids, both inclusive, that everything behind them waits for. `found`, `since` and `due` are local, ms."""

    first: int
    last: int
    begin: int
    """Time of the last trade before it, ms UTC."""
    end: int
    """Time of the first trade behind it."""
    found: int
    since: int
    """When the repair last made progress."""
    due: int
    """When to query again."""
    failures: int = 0
    refusals: int = 0
    reason: str = ""
    is_lost: bool = False

    @property
    def is_denied(self) -> bool:
        """Whether the venue has answered `ENOUGH_TRIES` times that it knows none of these trades."""
        return self.refusals >= ENOUGH_TRIES

    def on_progress(self, now: Now, *, is_whole: bool) -> None:
        """All trades that were queried came, or some: then the others are not made yet, or are none."""
        self.failures, self.refusals, self.since = 0, 0, now.local
        self.due = now.local if is_whole else now.local + RETRY_MS

    def on_failure(self, error: QueryError | None, now: Now) -> None:
        """None came. Without an `error` the venue has answered without them."""
        self.failures += 1
        self.refusals += error is None
        self.reason = str(error or "the venue does not give them")
        self.is_lost = self.refusals >= ENOUGH_TRIES or (error is not None and error.lasting)
        self.due = now.local + doubled_ms(RETRY_MS, self.failures, longest_ms=LONGEST_RETRY_MS)

    def given_up(self, now: Now, patience_ms: int) -> str | None:
        """Why it is not waited for any longer; None while it is."""
        if self.is_lost:
            return f"not to be had: {self.reason}"
        if now.local - self.since >= patience_ms:
            return f"not fetched within {patience_ms} ms, asking on; {self.reason or 'no answer yet'}"
        return None


class GapState(NamedTuple):
    """A gap that was given up, as it is recovered."""

    first: int
    last: int
    begin: int
    end: int
    is_lost: bool


class _Gap(Struct):
    first: int
    last: int
    begin: int
    end: int
    is_lost: bool = False
    due: int = 0
    failures: int = 0


class AbandonedGaps:
    """Missing ids that no trade waits for any longer. They are queried at growing intervals, a part at a time."""

    def __init__(self) -> None:
        self.gaps: list[_Gap] = []

    def resume(self, gaps: Iterable[GapState]) -> None:
        """Takes the recovered ones, which are due at once."""
        self.gaps += [_Gap(*gap) for gap in gaps]

    def state(self) -> list[GapState]:
        """What a restart needs of each."""
        return [GapState(gap.first, gap.last, gap.begin, gap.end, gap.is_lost) for gap in self.gaps]

    def clear(self) -> None:
        """Drops all: their ids mean nothing any more."""
        self.gaps.clear()

    def add(self, first: int, last: int, begin: int, end: int, *, is_lost: bool, now: Now) -> None:
        """Remembers one more."""
        self.gaps.append(_Gap(first, last, begin, end, is_lost, now.local + LATER_MS))
        del self.gaps[:-MAX_GAPS]

    def fill(self, first: int, last: int) -> bool:
        """Whether these ids were missing; if so they no longer are."""
        for place, gap in enumerate(self.gaps):
            if gap.first <= first and last <= gap.last:
                parts = ((gap.first, first - 1), (last + 1, gap.last))
                self.gaps[place : place + 1] = [
                    structs.replace(gap, first=part[0], last=part[1]) for part in parts if part[0] <= part[1]
                ]
                return True
        return False

    @property
    def due(self) -> int | None:
        """Local time of the next query; None when there is none."""
        return min((gap.due for gap in self.gaps if not gap.is_lost), default=None)

    def next_query(self, symbol: str, now: Now) -> TradesQuery | None:
        """Queries the first one that is due."""
        for gap in self.gaps:
            if not gap.is_lost and gap.due <= now.local:
                return TradesQuery(symbol, gap.first, min(gap.last, gap.first + QUERY_TRADES - 1), gap.begin, gap.end)
        return None

    def on_answer(self, query: TradesQuery, error: QueryError | None, now: Now) -> None:
        """What is still missing of the queried ids is queried again after a longer delay."""
        for gap in self.gaps:
            if gap.first <= query.last_id and gap.last >= query.first_id:
                gap.failures += 1
                gap.is_lost = gap.failures >= ENOUGH_TRIES if error is None else error.lasting
                gap.due = now.local + doubled_ms(LATER_MS, gap.failures, longest_ms=LONGEST_LATER_MS)
