"""Times of a file in which the trades are not in the order of time, though their ids rise.

The exchange's own files are in order. In one that is not some times are wrong, and nothing says which. Where times go
back, those before may be too late: as far back as to the first step forward that is as large, for a run of trades that
are all late by the same time begins with one. Or those behind are too early, and go on until the time is reached again.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

JITTER_MS = 1_000
"""By so much times may go back: servers differ. No recording or file at hand has any such pair."""
MOST = 1_000
"""Most separate stretches; what follows them is one."""

Stretch = tuple[int, int]
"""The first and the last time, ms UTC."""


def disorders(blocks: Iterable[pl.DataFrame], begin: int) -> tuple[Stretch, ...]:
    """The stretches of a file whose trades, by rising ids, are these. `begin` is the first time that it covers, ms UTC:
    its first trade is a step forward from there.
    """
    found: list[Stretch] = []
    for start, end in _stretches(blocks, begin):
        if found and (start <= found[-1][1] or len(found) >= MOST):
            found[-1] = min(found[-1][0], start), max(found[-1][1], end)
        else:
            found.append((start, end))
    return tuple(found)


def _stretches(blocks: Iterable[pl.DataFrame], begin: int) -> Iterator[Stretch]:
    newest: int | None = None
    steps: list[tuple[int, int]] = []
    """Each step forward that is larger than all before it, and the time at which it begins."""
    for block in blocks:
        times = block["time"].to_numpy()
        if not len(times):
            continue
        reached = np.maximum.accumulate(np.append(min(begin, int(times[0])) if newest is None else newest, times))
        before = reached[:-1]
        back = before - times
        largest = steps[-1][0] if steps else 0
        forward = np.diff(reached)
        leading = np.maximum.accumulate(np.append(largest, forward))
        places = np.flatnonzero((back > JITTER_MS) | (leading[1:] > leading[:-1])).tolist()
        for place in places:
            if back[place] <= JITTER_MS:
                steps.append((int(forward[place]), int(before[place])))
                continue
            first = next((time for step, time in steps if step >= back[place]), begin)
            yield first, int(before[place])
        newest = int(reached[-1])
