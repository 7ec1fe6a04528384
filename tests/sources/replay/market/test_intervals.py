from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.market.intervals import INTERVALS_MS, earlier_open, intervals_of, next_open, open_of, period_of


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("interval", "begin", "end"),
    [
        ("1m", "2024-08-08T23:54", "2024-08-08T23:55"),
        ("8h", "2024-08-08T16:00", "2024-08-09T00:00"),
        ("1w", "2024-08-05", "2024-08-12"),
        ("1M", "2024-08-01", "2024-09-01"),
    ],
)
def test_periods_are_those_of_the_calendar(interval: str, begin: str, end: str) -> None:
    moment = ms("2024-08-08T23:54:15.208")
    assert open_of(interval, moment) == ms(begin)
    assert next_open(interval, ms(begin)) == ms(end)
    assert earlier_open(interval, ms(end), 1) == ms(begin)


def test_months_step_over_years() -> None:
    assert next_open("1M", ms("2024-12-01")) == ms("2025-01-01")
    assert earlier_open("1M", ms("2025-01-01"), 12) == ms("2024-01-01")
    assert next_open("1M", ms("2023-02-01")) == ms("2023-03-01")


def test_futures_have_no_seconds() -> None:
    assert intervals_of("spot")[0] == "1s"
    assert intervals_of("usdm") == intervals_of("spot")[1:]


@given(st.sampled_from(list(INTERVALS_MS)), st.integers(0, 4_000_000_000_000))
def test_a_moment_lies_in_its_period_and_columns_agree(interval: str, moment: int) -> None:
    begin = open_of(interval, moment)
    assert begin <= moment < next_open(interval, begin)
    assert open_of(interval, begin) == begin
    assert pl.DataFrame({"t": [moment]}).select(period_of(interval, pl.col("t"))).item() == begin
