"""Which klines of one timeframe are queried, and when.

The laws:
* One query at a time. It spans all periods that are due, from the first to the last.
* A period that the answer does not contain, or contains as not closed yet, is queried again: after the grace, which
  doubles with each try, up to `LONGEST_MS`. What was not answered at all is queried at once when anything else is.
* Nothing is given up silently: what `MOST_TRIES` have not brought, and the oldest of more than `MOST_OPEN` periods, is
  handed back, to be named.
"""

from collections.abc import Iterable

from flows.clock import Now
from flows.operators.delay import doubled_ms
from flows.queries import KlinesQuery, QueryError

MOST_TRIES = 32
"""Queries for the kline of a period, until it stays without a proof: those of about a day."""
LONGEST_MS = 3_600_000
"""Longest delay before a period is queried again, local time."""
FEW_TRIES = 5
"""Tries after which a period counts towards `MOST_OPEN`, and the venue is taken to have no kline of an empty one."""
MOST_OPEN = 1_000
"""Periods that are queried again and again, and remembered meanwhile."""


class KlineQueries:
    """The open times whose kline is to be queried."""

    def __init__(self, symbol: str, timeframe: str, *, grace_ms: int) -> None:
        """`grace_ms` is how long the stream may take to bring a kline, local time."""
        self._symbol = symbol
        self._timeframe = timeframe
        self._grace_ms = grace_ms
        self._tries: dict[int, int] = {}
        self._unanswered: set[int] = set()
        """Open times of which the last query has failed."""
        self.due: dict[int, int] = {}
        """Local times of the queries, by open time; only for reading."""
        self.is_pending = False
        """An answer is awaited, and nothing is queried until then; only for reading."""

    def __contains__(self, open_time: int) -> bool:
        """Whether the kline of a period is to be queried."""
        return open_time in self.due

    def add(self, open_time: int, now: Now, *, after_grace: bool = False) -> None:
        """Queries a kline at once, or after the time in which the stream should bring it."""
        self.due[open_time] = now.local + self._grace_ms if after_grace else now.local

    def remove(self, open_time: int) -> None:
        """The kline is there, or not needed any longer."""
        self.due.pop(open_time, None)
        self.restart(open_time)

    def restart(self, open_time: int) -> None:
        """Counts the tries anew: another version of the candle is to be proven."""
        self._tries.pop(open_time, None)
        self._unanswered.discard(open_time)

    def is_often_tried(self, open_time: int) -> bool:
        """Whether a period was queried `FEW_TRIES` times in vain."""
        return self._tries.get(open_time, 0) >= FEW_TRIES

    def next_query(self, now: Now) -> KlinesQuery | None:
        """The query for all that is due; None without any."""
        if self.is_pending:
            return None
        due = [open_time for open_time, at in self.due.items() if at <= now.local]
        if not due:
            return None
        self.is_pending = True
        return KlinesQuery(self._symbol, self._timeframe, min(due), max(due), checks=True)

    def take_answer(self) -> None:
        """The answer is there, or an error in its place: the next query may leave."""
        self.is_pending = False

    def hasten(self, now: Now) -> None:
        """The venue answers: what it has not answered before is due."""
        for open_time in self._unanswered:
            self.due[open_time] = min(self.due[open_time], now.local)
        self._unanswered.clear()

    def retry(self, query: KlinesQuery, error: QueryError | None, now: Now) -> list[int]:
        """Queries again what an answered query has left without a kline, or one that has failed. Gives the open times
        that are given up, rising.
        """
        for open_time in [t for t in self.due if query.start <= t <= query.end]:
            tries = self._tries[open_time] = self._tries.get(open_time, 0) + 1
            self.due[open_time] = now.local + doubled_ms(2 * self._grace_ms, tries, longest_ms=LONGEST_MS)
            if error is None:
                self._unanswered.discard(open_time)
            else:
                self._unanswered.add(open_time)
        often = sorted(t for t, tries in self._tries.items() if tries >= FEW_TRIES)
        excess = len(often) - MOST_OPEN
        given_up = [t for place, t in enumerate(often) if place < excess or self._tries[t] >= MOST_TRIES]
        for open_time in given_up:
            self.remove(open_time)
        return given_up

    def state(self) -> dict[int, int]:
        """The open times, for a snapshot. Local times end with the process, so they are due at once."""
        return dict.fromkeys(self.due, 0)

    def resume(self, open_times: Iterable[int]) -> None:
        """Takes up a `state()`."""
        self.due = dict.fromkeys(open_times, 0)


def next_due(queries: Iterable[KlineQueries]) -> list[int]:
    """Local times of the next query of each timeframe that has one. Read at each poll: one loop without calls."""
    return [min(some.due.values()) for some in queries if some.due and not some.is_pending]
