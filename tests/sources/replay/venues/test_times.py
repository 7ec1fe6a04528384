import pytest

from sources.replay.venues.times import rfc3339, shifted


def test_times_have_as_many_digits_as_the_venue_writes() -> None:
    assert rfc3339(1_767_225_600_007) == "2026-01-01T00:00:00.007000Z"
    assert rfc3339(1_767_225_600_007, 9) == "2026-01-01T00:00:00.007000000Z"
    assert rfc3339(1_767_225_600_007, 3) == "2026-01-01T00:00:00.007Z"


@pytest.mark.parametrize(
    ("text", "by_ms", "moved"),
    [
        ("2026-01-01T00:00:00.250123Z", -251, "2025-12-31T23:59:59.999123Z"),
        ("2026-01-01T00:00:00.5Z", 1, "2026-01-01T00:00:00.501Z"),
        ("2026-01-01T00:00:00Z", 60_000, "2026-01-01T00:01:00.000Z"),
    ],
)
def test_a_moved_time_keeps_its_digits_below_a_millisecond(text: str, by_ms: int, moved: str) -> None:
    assert shifted(text, by_ms) == moved
