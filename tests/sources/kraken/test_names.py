"""Kraken's times, as text and as numbers."""

import pytest

from sources.kraken.names import Times

USUAL = "2026-07-07T23:00:04.585581Z"


def test_milliseconds_are_those_of_the_whole_time() -> None:
    times = Times()
    texts = (
        USUAL,
        USUAL,
        "2026-07-07T23:00:04.585999Z",
        "2026-07-07T23:00:05.000000Z",
        "1999-12-31T23:59:59.999999Z",
    )
    assert times.usual_millis(texts) == [times.micros(text) // 1_000 for text in texts]
    assert times.micros(USUAL) == 1_783_465_204_585_581


@pytest.mark.parametrize(
    "text", ["2026-07-07T23:00:04,585581Z", "2026-07-07 23:00:04.585581Z", "2026-07-07T23:00:04.5 5581Z",
             "2026-13-07T23:00:04.585581Z", "2026-07-07T23:00:04.٣٣٣581Z", "2026-07-07T23:00:61.000581Z"]
)  # fmt: skip
def test_what_is_no_time_has_no_milliseconds(text: str) -> None:
    times = Times()
    for _ in range(2):
        with pytest.raises((ValueError, KeyError)):
            times.usual_millis([USUAL, text])


@pytest.mark.parametrize("rest", ["", "Z", "581", "58Z", "5811Z", "58xZ", "-81Z", "٣٣٣Z", "581z"])
def test_a_time_of_other_length_or_zone_is_not_usual(rest: str) -> None:
    with pytest.raises(ValueError, match="six decimals"):
        Times().usual_millis([USUAL, f"2026-07-07T23:00:04.585{rest}"])


def test_what_is_remembered_is_bounded_and_right_afterwards() -> None:
    times = Times()
    texts = [
        f"2026-07-07T{hour:02}:{minute:02}:{second:02}.{second:03}000Z"
        for hour in range(2)
        for minute in range(60)
        for second in range(0, 60, 5)
    ]
    found = [times.usual_millis([text])[0] for text in texts]
    assert found == [times.micros(text) // 1_000 for text in texts]
    assert found == times.usual_millis(texts)
    assert len(texts) > 1_000
