"""Kraken's times, as text and as numbers."""

import pytest

from sources.kraken.names import MILLISECOND, REST_OF_USUAL, Times

USUAL = "2026-07-07T23:00:04.585581Z"


def test_milliseconds_are_those_of_the_whole_time() -> None:
    times = Times()
    for text in (
        USUAL,
        USUAL,
        "2026-07-07T23:00:04.585999Z",
        "2026-07-07T23:00:05.000000Z",
        "1999-12-31T23:59:59.999999Z",
    ):
        assert text[MILLISECOND:] in REST_OF_USUAL
        assert times.millis[text[:MILLISECOND]] == times.micros(text) // 1_000
    assert times.micros(USUAL) == 1_783_465_204_585_581


@pytest.mark.parametrize(
    "text", ["2026-07-07T23:00:04,585", "2026-07-07 23:00:04.585", "2026-07-07T23:00:04.5 5", "2026-13-07T23:00:04.585",
             "2026-07-07T23:00:04.٣٣٣", "2026-07-07T23:00:61.000"]
)  # fmt: skip
def test_what_is_no_time_has_no_milliseconds(text: str) -> None:
    times = Times()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"time|month|second|isoformat"):
            times.millis[text]


@pytest.mark.parametrize("rest", ["", "Z", "581", "58Z", "5811Z", "58xZ", "-81Z", "٣٣٣Z", "581z"])
def test_a_time_of_other_length_or_zone_is_not_usual(rest: str) -> None:
    assert rest not in REST_OF_USUAL


def test_what_is_remembered_is_bounded_and_right_afterwards() -> None:
    times = Times()
    texts = [
        f"2026-07-07T{hour:02}:{minute:02}:{second:02}.{second:03}"
        for hour in range(2)
        for minute in range(60)
        for second in range(0, 60, 5)
    ]
    found = [times.millis[text] for text in texts]
    assert found == [times.micros(f"{text}000Z") // 1_000 for text in texts]
    assert found == [times.millis[text] for text in texts]
    assert len(times.millis) <= 1_000 < len(texts)
