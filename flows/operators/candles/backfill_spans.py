"""Which klines a stored series lacks."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

AT_LEAST = 10
"""The newest closed periods are fetched in any case, to be compared with what is stored."""
MOST_BACK = 10_000
"""Periods before the present that a series is searched for gaps."""


class Span(NamedTuple):
    """Open times of a first and a last period, both inclusive."""

    start: int
    end: int


def missing_spans(whole: Iterable[int], *, length: int, now: int, limit: int) -> list[Span]:
    """The closed periods to be fetched, oldest first: of the latest `limit`, and from the first stored one on, all that
    the stored series lacks, and at least the latest ten. So a series whose begin is gone gets it back.

    `whole` are the open times of the stored candles that need nothing; `length` is that of a period, `now` the feed's
    time, all in ms.
    """
    newest = now // length * length - length
    oldest = newest - MOST_BACK * length
    stored = {open_time for open_time in whole if oldest <= open_time <= newest}
    begin = min([*stored, newest - (limit - 1) * length])
    compared = newest - (min(AT_LEAST, limit) - 1) * length
    wanted = (t for t in range(begin, newest + 1, length) if t >= compared or t not in stored)
    return list(_joined(wanted, length))


def _joined(open_times: Iterable[int], length: int) -> Iterator[Span]:
    """Neighbours as spans."""
    start = end = None
    for open_time in open_times:
        if end is not None and start is not None and open_time != end + length:
            yield Span(start, end)
            start = None
        start, end = (open_time if start is None else start), open_time
    if start is not None and end is not None:
        yield Span(start, end)
