import struct
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sources.binance.sbe.decimals import MOST_EXPONENT, SCALES, float_of, multiplied

MANTISSAS = st.integers(-(2**63), 2**63 - 1)
EXPONENTS = st.integers(-MOST_EXPONENT, MOST_EXPONENT)


@given(MANTISSAS, EXPONENTS)
@example(2**53 + 1, -2)
@example(9_007_199_254_740_993, 0)
@example(-(2**63), -MOST_EXPONENT)
def test_a_value_is_the_nearest_float_of_the_exact_decimal(mantissa: int, exponent: int) -> None:
    assert float_of(mantissa, exponent) == float(Decimal(mantissa).scaleb(exponent))


@given(st.integers(0, 2**63 - 1), st.integers(-MOST_EXPONENT, 0))
def test_a_value_is_the_one_that_the_text_of_json_gives(mantissa: int, exponent: int) -> None:
    text = f"{Decimal(mantissa).scaleb(exponent):f}"
    assert msgspec.json.decode(f'"{text}"'.encode(), type=float, strict=False) == float_of(mantissa, exponent)


def test_the_schemas_empty_exponent_is_unknown() -> None:
    [empty] = struct.unpack("<b", b"\x80")
    assert empty not in SCALES
    with pytest.raises(KeyError):
        float_of(1, empty)


@given(MANTISSAS, st.integers(1, MOST_EXPONENT))
def test_rows_are_multiplied_place_by_place(mantissa: int, exponent: int) -> None:
    [(number, value)] = multiplied(iter([(7, mantissa)]), 1, SCALES[exponent].up)
    assert (number, value / SCALES[exponent].down) == (7, float_of(mantissa, exponent))
