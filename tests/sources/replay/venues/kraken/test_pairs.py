import json

import pytest

from sources.replay.venues.kraken.pairs import pair_of, profile_of_pair
from tests.fakes.recordings import recording


def test_the_names_of_pairs_are_krakens() -> None:
    listed = json.loads((recording("kraken-v2-2026-07-07") / "assetpairs.json").read_text())["result"]
    for symbol in ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "DOGE/USD"):
        pair = pair_of(symbol)
        row = listed[pair.id]
        assert (pair.altname, pair.wsname) == (row["altname"], row["wsname"])
        assert pair.price_decimals == row["pair_decimals"]
    assert pair_of("btc-usdt").id == "XBTUSDT"


def test_a_pair_follows_the_symbol_of_binance_of_its_asset() -> None:
    profile = profile_of_pair("BTC-USD")
    assert (profile.symbol, profile.reference) == ("BTC/USD", "BTCUSDT")
    assert (profile.ticks, profile.decimals.printed_price, profile.decimals.printed_quantity) == (600_000, 1, 8)
    assert pair_of("USDC-USD").reference == "USDCUSD"
    assert pair_of("ETH-BTC").reference == "ETHBTC"


@pytest.mark.parametrize("text", ["", "BTCUSD", "BTC-", "-USD", "BTC-USD-X"])
def test_other_texts_are_no_pairs(text: str) -> None:
    with pytest.raises(ValueError, match="no pair"):
        pair_of(text)
