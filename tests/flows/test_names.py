import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.names import SYMBOL_LENGTH, SYMBOL_PATTERN, is_symbol, shown, symbol_of

HOSTILE = [
    "",
    " ",
    "A B",
    'A"B',
    "A'B",
    "A`B",
    "A\\B",
    "A:B",
    "A@B",
    "A%2FB",
    "A&B",
    "A?B",
    "A#B",
    "A.B",
    ".",
    "..",
    "../../x",
    "<img src=x onerror=alert(1)>",
    "<IMG>",
    "BTCUSDT\n",
    "\nBTCUSDT",
    "BTC\r\nUSDT",
    "BTC\x00USDT",
    "BTC\x1b[31mUSDT",
    "BTC\x85USDT",
    "BTC\u00a0USDT",
    "BTC\u200bUSDT",
    "BTC\u200dUSDT",
    "BTC\u202eUSDT",
    "BTC\u2066USDT",
    "BTC\ufeffUSDT",
    "BTC\u3164USDT",
    "BTC\ufe0fUSDT",
    "BTC\u034fUSDT",
    "\u3000BTCUSDT",
    "\u0301BTC",
    "-BTC",
    "_",
    "$BTC",
    "BTC€",
    "BTC²",
    "½USDT",
    "🚀USDT",
    "BTC\ud800",
    "BTC\ue000",
    "A" * (SYMBOL_LENGTH + 1),
    "人" * 10_000,
]
LISTED = [
    "BTCUSDT",
    "1000SATSUSDT",
    "BTCUSDT_250926",
    "BTC-USD",
    "币安人生USDT",
    "ÄÖUSDT",
    "РУБUSDT",  # noqa: RUF001
    "ＢＴＣ",  # noqa: RUF001
    "٣USDT",
    "บิทUSDT",
]


@pytest.mark.parametrize("name", LISTED)
def test_what_an_exchange_lists_is_a_symbol_in_any_case_and_normal_form(name: str) -> None:
    assert is_symbol(name)
    for spelling in (name, name.lower(), unicodedata.normalize("NFD", name)):
        assert symbol_of(spelling) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_refused(name: str) -> None:
    assert not is_symbol(name)
    with pytest.raises(ValueError, match="is no symbol: write the exchange's own name"):
        symbol_of(name)


@pytest.mark.parametrize("name", ["straße", "ſOLUSDT", "ıUSDT", "ŉUSDT", "ﬁUSDT", "İUSDT", "ẞUSDT", "ǰUSDT", "ΐUSDT"])  # noqa: RUF001
def test_no_spelling_turns_into_the_name_of_another_instrument(name: str) -> None:
    with pytest.raises(ValueError, match="is no symbol"):
        symbol_of(name)


def test_a_symbol_is_its_canonical_spelling_alone() -> None:
    assert not is_symbol("btcusdt")
    assert not is_symbol(unicodedata.normalize("NFD", "ÄUSDT"))


@given(st.text(max_size=SYMBOL_LENGTH + 2))
def test_every_text_is_refused_or_becomes_one_symbol_that_survives_streams_and_schemas(text: str) -> None:
    try:
        symbol = symbol_of(text)
    except ValueError:
        assert not is_symbol(text)
        return
    assert is_symbol(symbol)
    assert symbol_of(symbol) == symbol_of(symbol.lower()) == symbol
    assert symbol.lower().upper() == symbol.upper() == symbol
    assert re.search(SYMBOL_PATTERN, text)
    assert re.search(SYMBOL_PATTERN, symbol)
    assert symbol.isprintable()
    assert not set(symbol) & set(" \t\n/\\'\"`<>.:@%&?#")


@given(st.characters())
def test_the_pattern_knows_every_letter_of_a_symbol(letter: str) -> None:
    if is_symbol(f"A{letter}"):
        assert re.search(SYMBOL_PATTERN, f"A{letter}")


def test_what_is_shown_of_a_text_is_short_and_printable() -> None:
    assert shown("a\x1b[31m\u202e\n") == r"'a\x1b[31m\u202e\n'"
    assert len(shown("x" * 1_000_000)) < 100
