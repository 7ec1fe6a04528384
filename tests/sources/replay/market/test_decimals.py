from decimal import Decimal

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.market.decimals import (
    decimal_text,
    decimals_of,
    printed,
    printed_decimals,
    scaled,
    significant_decimals,
)


def test_texts_have_the_printed_decimals() -> None:
    assert decimal_text(6183763, 2, 8) == "61837.63000000"
    assert decimal_text(908, 8, 8) == "0.00000908"
    assert decimal_text(-140500, 3, 2) == "-140.50"
    assert decimal_text(19, 1, 0) == "1"
    assert decimal_text(0, 2, 2) == "0.00"


def test_finer_digits_are_cut_off() -> None:
    assert decimal_text(19999, 4, 2) == "1.99"


def test_spot_prints_eight_and_futures_what_they_show() -> None:
    spot = decimals_of("spot", price=2, quantity=5)
    usdm = decimals_of("usdm", price=1, quantity=3, printed=(2, 3))
    assert (spot.price_text(6183763), spot.quantity_text(2000)) == ("61837.63000000", "0.02000000")
    assert spot.quote_text(6183763 * 2000) == "1236.75260000"
    assert (usdm.price_text(618003), usdm.quantity_text(6)) == ("61800.30", "0.006")
    assert usdm.quote_text(618003 * 6) == "370.80180"


def test_significant_decimals_leave_out_zeros_at_the_end() -> None:
    texts = pl.Series(["61837.63000000", "7.00000000", "0.5"])
    assert (significant_decimals(texts), printed_decimals(texts)) == (2, 8)
    assert significant_decimals(pl.Series([], dtype=pl.String)) == 0


@given(st.integers(0, 10**17), st.integers(0, 8), st.integers(0, 4))
def test_columns_are_read_and_written_like_single_numbers(value: int, decimals: int, zeros: int) -> None:
    shown = decimals + zeros
    frame = pl.DataFrame({"n": [value]}).select(printed(pl.col("n"), decimals, shown).alias("text"))
    text = frame.item()
    assert text == decimal_text(value, decimals, shown)
    assert Decimal(text) == Decimal(value).scaleb(-decimals)
    if shown <= 8:
        assert frame.select(scaled(pl.col("text"), decimals)).item() == value
