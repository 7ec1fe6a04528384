"""Which texts are times, and which time each is."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.times import ISO_PATTERN, span_ms_of, time_ms_of
from sinks.hub.payloads import iso_utc

NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z."""


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("1767268800000", NOON),
        ("1767268800", NOON),
        ("2026-01-01", NOON - 12 * 3_600_000),
        ("2026-01-01T12:00", NOON),
        ("2026-01-01 12:00:00", NOON),
        ("2026-01-01T12:00:00Z", NOON),
        ("2026-01-01T12:00:00.250Z", NOON + 250),
        ("2026-01-01T12:00:00.250999999Z", NOON + 251),
        ("2026-01-01T13:30:00+01:30", NOON),
        ("2026-01-01T13:30:00 01:30", NOON),
        ("2026-01-01T13:30 01:30", NOON),
        ("2026-01-01T07:00:00-05:00", NOON),
    ],
)
def test_each_form_is_the_same_time(text: str, ms: int) -> None:
    assert time_ms_of(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "now", "-1", "1.5", "1e12", "2026-13-01", "2026-01-32", "2026-01-01T25:00", "2026-1-1", "20260101T1200",
     "2026-W01-1", "2026-01-01T12:00z", "2026-01-01T12:00\n",
     "\u0662\u0660\u0662\u0666-01-01", "1" * 16, "2026-01-01Z"],
)  # fmt: skip
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: write 2026-01-31"):
        time_ms_of(text)


def test_a_span_is_open_where_nothing_is_written_and_ends_after_it_begins() -> None:
    assert span_ms_of("", "", 7) == (0, 7)
    assert span_ms_of("5", "6", 7) == (5, 6)
    for start, end in (("2026-01-02", "2026-01-01"), ("5", "5"), ("8", "")):
        with pytest.raises(ValueError, match=f"is not later than the start {start}"):
            span_ms_of(start, end, 7)


@given(st.integers(10_000_000_000, 253_402_300_799_999))
def test_a_time_in_answers_is_understood_in_requests(ms: int) -> None:
    assert time_ms_of(iso_utc(ms)) == time_ms_of(str(ms)) == ms


@given(st.from_regex(f"^{ISO_PATTERN}$", fullmatch=True))
def test_what_has_the_form_is_a_time_or_refused(text: str) -> None:
    try:
        assert abs(time_ms_of(text) - datetime(1970, 1, 1, tzinfo=UTC).timestamp()) < 1e15
    except ValueError as error:
        assert re.search("is no time", str(error))
