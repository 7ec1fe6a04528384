"""Which klines of one timeframe are queried, and when.

The laws:
* One query at a time. It spans all periods that are due, from the first to the last.
* A period that the answer does not contain, or contains as not closed yet, is queried again: after the grace, which
  doubles with each try. After `MOST_TRIES` it stays without a proof.
"""

from collections.abc import Iterable

from flows.clock import Now
from flows.queries import KlinesQuery

MOST_TRIES = 5
"""Queries for the kline of a period, until it stays without a proof."""


class KlineQueries:
    """The open times whose kline is to be queried."""

    def __init__(self, symbol: str, timeframe: str, *, grace_ms: int) -> None:
        """`grace_ms` is how long the stream may take to bring a kline, local time."""
        self._symbol = symbol
        self._timeframe = timeframe
        self._grace_ms = grace_ms
        self._tries: dict[int, int] = {}
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
        """The kline is there."""
        self.due.pop(open_time, None)

    def restart(self, open_time: int) -> None:
        """Counts the tries anew: another version of the candle is to be proven."""
        self._tries.pop(open_time, None)

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

    def retry(self, query: KlinesQuery, now: Now) -> None:
        """Queries again what an answered query has left without a kline."""
        for open_time in [t for t in self.due if query.start <= t <= query.end]:
            tries = self._tries[open_time] = self._tries.get(open_time, 0) + 1
            if tries < MOST_TRIES:
                self.due[open_time] = now.local + self._grace_ms * 2**tries
            else:
                del self.due[open_time], self._tries[open_time]

    def state(self) -> dict[int, int]:
        """The open times, for a snapshot. Local times end with the process, so they are due at once."""
        return dict.fromkeys(self.due, 0)

    def resume(self, open_times: Iterable[int]) -> None:
        """Takes up a `state()`."""
        self.due = dict.fromkeys(open_times, 0)


def next_due(queries: Iterable[KlineQueries]) -> list[int]:
    """Local times of the next query of each timeframe that has one. Read at each poll: one loop without calls."""
    return [min(some.due.values()) for some in queries if some.due and not some.is_pending]
