"""What is missing in a sequence of trades, and when to ask for it: the hole that everything waits for, and the gaps
that were given up and are still hoped for.
"""

from collections.abc import Iterable

from msgspec import Struct, structs

from flows.clock import Now
from flows.operators.delay import doubled_ms
from flows.queries import QueryError, TradesQuery

QUERY_TRADES = 10_000
"""Ids in one query: enough to fill ten of the venue's pages, few enough to go on in between."""
RETRY_MS = 500
"""First delay before the ids of a hole are asked for again; doubles with each failure, up to `LONGEST_RETRY_MS`."""
LONGEST_RETRY_MS = 128_000
LATER_MS = 60_000
"""First delay before the ids of a gap are asked for again; doubles with each failure, up to `LONGEST_LATER_MS`."""
LONGEST_LATER_MS = 3_600_000
ENOUGH_TRIES = 3
"""Answers without the missing ids, until it is believed that the venue does not have them either."""
MAX_GAPS = 1_000
"""Gaps remembered for what may still fill them; one more, and the oldest is forgotten: its trades count as
duplicates.
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
    """When the repair last got on."""
    due: int
    """When to ask again."""
    failures: int = 0
    refusals: int = 0
    reason: str = ""
    is_lost: bool = False

    @property
    def is_denied(self) -> bool:
        """Whether the venue has answered again and again that it knows none of these trades."""
        return self.refusals >= ENOUGH_TRIES

    def on_progress(self, now: Now) -> None:
        """Some of the trades came."""
        self.failures, self.refusals, self.since, self.due = 0, 0, now.local, now.local

    def on_failure(self, error: QueryError | None, now: Now) -> None:
        """None came, for a reason or for none: then the venue answered without them."""
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


class _Gap(Struct):
    first: int
    last: int
    begin: int
    end: int
    is_lost: bool = False
    due: int = 0
    failures: int = 0


class AbandonedGaps:
    """Missing ids that nobody waits for any longer. They are asked for now and then, a part at a time."""

    def __init__(self, gaps: Iterable[tuple[int, int, int, int, bool]] = ()) -> None:
        self.gaps = [_Gap(*gap) for gap in gaps]

    def state(self) -> list[tuple[int, int, int, int, bool]]:
        """First and last id, the times on both sides, and whether they are lost for good, of each."""
        return [(gap.first, gap.last, gap.begin, gap.end, gap.is_lost) for gap in self.gaps]

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
        """Local time at which the next of them is to be asked for; None when there is none."""
        return min((gap.due for gap in self.gaps if not gap.is_lost), default=None)

    def next_query(self, symbol: str, now: Now) -> TradesQuery | None:
        """Asks for the first one that is due."""
        for gap in self.gaps:
            if not gap.is_lost and gap.due <= now.local:
                return TradesQuery(symbol, gap.first, min(gap.last, gap.first + QUERY_TRADES - 1), gap.begin, gap.end)
        return None

    def on_answer(self, query: TradesQuery, error: QueryError | None, now: Now) -> None:
        """What is still missing of the asked ids can wait longer than before."""
        for gap in self.gaps:
            if gap.first <= query.last_id and gap.last >= query.first_id:
                gap.failures += 1
                gap.is_lost = gap.failures >= ENOUGH_TRIES if error is None else error.lasting
                gap.due = now.local + doubled_ms(LATER_MS, gap.failures, longest_ms=LONGEST_LATER_MS)
