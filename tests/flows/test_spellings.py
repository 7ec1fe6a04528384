"""Every spelling of a listed instrument is that instrument, and never another."""

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.model import ListedInstrument
from flows.spellings import OLDER_ASSETS, Catalogue, Spellings, asset_of

ASSETS = ("BTC", "ETH", "DOGE", "USD", "USDT", "USDC", "EUR", "XBT", "XDG", "1000PEPE", "A", "AB", "B", "BC", "C")
OLDER = {usual: older for older, usual in OLDER_ASSETS.items()}


def instrument(base: str, quote: str, separator: str = "", suffix: str = "") -> ListedInstrument:
    return ListedInstrument("venue", f"{base}{separator}{quote}{suffix}", "TRADING", base, quote)


def spellings_of(base: str, quote: str) -> Iterator[str]:
    names = ((name, OLDER.get(name, name)) for name in (base, quote))
    for (one, other), separator in product(product(*names), ("", "/", "-", "_")):
        text = f"{one}{separator}{other}"
        yield from (text, text.lower(), text.title(), f" {text} ")


usual = [asset for asset in ASSETS if asset not in OLDER_ASSETS]
markets = st.sets(
    st.tuples(st.sampled_from([asset for asset in usual if len(asset) > 2]), st.sampled_from(["USD", "USDT", "EUR"])),
    min_size=1,
).map(lambda pairs: sorted((base, quote) for base, quote in pairs if base != quote))
anything = st.lists(
    st.builds(
        instrument,
        st.sampled_from(ASSETS),
        st.sampled_from(ASSETS),
        st.sampled_from(["", "-", "_"]),
        st.sampled_from(["", "", "_260327", "-PERP"]),
    ),
    max_size=30,
)


@given(markets, st.sampled_from(["", "-", "_"]))
def test_every_spelling_of_a_listed_instrument_is_that_instrument(pairs: list[tuple[str, str]], separator: str) -> None:
    spellings = Spellings(instrument(base, quote, separator) for base, quote in pairs)
    for base, quote in pairs:
        for text in spellings_of(base, quote):
            assert spellings.symbol(text) == f"{base}{separator}{quote}", text


@given(anything)
def test_whatever_is_listed_a_spelling_is_never_that_of_another(listed: list[ListedInstrument]) -> None:
    spellings, names = Spellings(listed), {one.symbol for one in listed}
    meant: dict[str, set[str]] = {}
    for one in listed:
        if one.symbol.replace("-", "").replace("_", "") == one.base + one.quote:
            for text in spellings_of(one.base, one.quote):
                meant.setdefault(text.strip().upper().replace("/", "-"), set()).add(one.symbol)
    for text, symbols in meant.items():
        found = spellings.symbol(text)
        assert found == text if text in names else found is None or found in symbols, text
        if len(symbols) == 1 and text not in names:
            assert found in symbols


@given(anything, st.text(max_size=12))
def test_any_text_is_a_listed_name_or_none_or_refused(listed: list[ListedInstrument], text: str) -> None:
    try:
        found = Spellings(listed).symbol(text)
    except ValueError as error:
        assert "is no symbol" in str(error)
    else:
        assert found is None or found in {one.symbol for one in listed}


def test_a_text_that_may_be_two_instruments_is_neither() -> None:
    spellings = Spellings([instrument("AB", "C", "-"), instrument("A", "BC", "-")])
    assert (spellings.symbol("abc"), spellings.symbol("AB/C"), spellings.symbol("A_BC")) == (None, "AB-C", "A-BC")


def test_an_asset_that_is_listed_by_an_older_name_is_that_asset() -> None:
    spellings = Spellings([instrument("BTC", "USD", "-"), instrument("XBT", "USD", "-"), instrument("BTC", "EUR", "-")])
    assert [spellings.symbol(text) for text in ("XBT/USD", "xbtusd", "BTC/USD", "XBT/EUR")] == [
        "XBT-USD",
        "XBT-USD",
        "BTC-USD",
        "BTC-EUR",
    ]


def test_a_dated_contract_has_its_own_name_alone() -> None:
    spellings = Spellings([instrument("BTC", "USDT"), instrument("BTC", "USDT", suffix="_260327")])
    assert spellings.symbol("btc/usdt") == "BTCUSDT"
    assert spellings.symbol("btcusdt_260327") == "BTCUSDT_260327"
    assert Spellings([instrument("BTC", "USDT", suffix="_260327")]).symbol("BTC/USDT") is None


def test_assets_have_one_name() -> None:
    assert [asset_of(text) for text in ("xbt", " XDG ", "Btc", "1000PEPE")] == ["BTC", "DOGE", "BTC", "1000PEPE"]
    with pytest.raises(ValueError, match="is no symbol"):
        asset_of("<b>")


def test_a_catalogue_knows_a_spelling_at_each_venue() -> None:
    catalogue = Catalogue()
    assert catalogue.symbols("btc/usd") == {"BTC-USD"}
    assert catalogue.symbol("kraken", "xbtusd") is None
    catalogue.put("binance", [instrument("BTC", "USDT"), instrument("ETH", "USDT")])
    catalogue.put("kraken", [instrument("BTC", "USDT", "-"), instrument("BTC", "USD", "-")])
    assert catalogue.symbol("kraken", "xbtusd") == "BTC-USD"
    assert catalogue.symbols("xbt/usdt") == {"BTCUSDT", "BTC-USDT"}
    assert catalogue.symbols("btcusdt") == {"BTCUSDT"}  # the very name of one
    assert catalogue.symbols("btcusdt", {"kraken", "binance"}) == {"BTCUSDT", "BTC-USDT"}
    assert catalogue.symbols("btcusdt", {"kraken"}) == {"BTC-USDT"}
    assert catalogue.symbols("SOL/USD", {"kraken", "other"}) == {"SOL-USD"}
    catalogue.put("kraken", [])
    assert catalogue.symbols("xbt/usdt") == {"BTCUSDT"}
