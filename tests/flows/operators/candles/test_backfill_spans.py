from hypothesis import given
from hypothesis import strategies as st

from flows.operators.candles.backfill_spans import AT_LEAST, Span, missing_spans

MINUTE = 60_000
NOW = 1_000 * MINUTE + 17


def spans(stored: list[int], limit: int = 100) -> list[tuple[int, int]]:
    """In minutes."""
    found = missing_spans([minute * MINUTE for minute in stored], length=MINUTE, now=NOW, limit=limit)
    return [(span.start // MINUTE, span.end // MINUTE) for span in found]


def test_without_anything_stored_it_is_the_latest_so_many_and_not_the_running_one() -> None:
    assert spans([]) == [(900, 999)]
    assert spans([], limit=3) == [(997, 999)]


def test_what_is_newer_is_fetched_and_at_least_the_latest_ten() -> None:
    assert spans(list(range(900, 950))) == [(950, 999)]
    assert spans(list(range(900, 1_000))) == [(990, 999)]


def test_holes_in_the_stored_series_are_filled() -> None:
    stored = [*range(900, 920), *range(925, 960), *range(970, 1_000)]
    assert spans(stored) == [(920, 924), (960, 969), (990, 999)]


@given(st.sets(st.integers(0, 999)), st.integers(1, 1_000))
def test_every_period_from_the_first_stored_to_now_is_stored_or_fetched_once(stored: set[int], limit: int) -> None:
    fetched = [m for start, end in spans(sorted(stored), limit) for m in range(start, end + 1)]
    assert len(set(fetched)) == len(fetched)
    begin = min([*stored, 1_000 - limit])
    assert set(range(begin, 1_000)) <= stored | set(fetched)
    assert set(fetched) & stored <= set(range(1_000 - min(AT_LEAST, limit), 1_000))


def test_a_series_that_has_lost_its_begin_gets_it_back() -> None:
    assert spans([999]) == [(900, 999)]
    assert spans(list(range(950, 1_000))) == [(900, 949), (990, 999)]


def test_spans_are_what_they_say() -> None:
    assert missing_spans([], length=MINUTE, now=NOW, limit=1) == [Span(999 * MINUTE, 999 * MINUTE)]
