import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sinks.bars.missing import Gap, MissingIds


def followed(*frames: list[tuple[int, int]], last: tuple[int, int] | None = None) -> MissingIds:
    missing = MissingIds(last)
    for frame in frames:
        ids, times = zip(*frame, strict=True) if frame else ((), ())
        missing.add(np.array(ids, dtype=np.int64), np.array(times, dtype=np.int64))
    return missing


def test_gaps_lie_between_trades_also_of_two_frames() -> None:
    missing = followed([(5, 50), (8, 80)], [], [(9, 90)], [(12, 120)], last=(3, 30))
    assert missing.gaps == [Gap(4, 4, 30, 50), Gap(6, 7, 50, 80), Gap(10, 11, 90, 120)]
    assert missing.trades == 5
    assert [missing.are_between(3, 5), missing.are_between(8, 9), missing.are_between(5, 12)] == [True, False, True]


def test_a_time_that_runs_back_leaves_no_gap() -> None:
    missing = followed([(1, 10), (3, 11)], [(2, 12), (4, 13)])
    assert (missing.gaps, missing.trades) == ([], 0)


@given(st.sets(st.integers(1, 40), min_size=1), st.integers(1, 5))
def test_all_that_lacks_is_named(ids: set[int], size: int) -> None:
    held = sorted(ids)
    missing = followed(*([(number, number) for number in held[at : at + size]] for at in range(0, len(held), size)))
    named = [number for gap in missing.gaps for number in range(gap.first_id, gap.last_id + 1)]
    assert named == sorted(set(range(held[0], held[-1])) - ids)
    assert missing.trades == len(named)
