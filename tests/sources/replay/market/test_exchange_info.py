import pytest

from sources.replay.market.decimals import decimals_of
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.exchange_info import exchange_info_row, split_symbol


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("ETHBTC", ("ETH", "BTC")),
        ("BTCFDUSD", ("BTC", "FDUSD")),
        ("1000PEPEUSDT", ("1000PEPE", "USDT")),
        ("BTCUSDT_260925", ("BTC", "USDT")),
        ("FOOXYZ", ("FOO", "XYZ")),
    ],
)
def test_assets_of_a_symbol(symbol: str, pair: tuple[str, str]) -> None:
    assert split_symbol(symbol) == pair


def test_tick_and_step_of_spot() -> None:
    row = exchange_info_row(PayloadEncoder("spot", "BTCUSDT", decimals_of("spot", price=2, quantity=5)))
    filters = {each["filterType"]: each for each in row["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"] == {
        "filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000",
    }  # fmt: skip
    assert filters["MARKET_LOT_SIZE"]["maxQty"] == "120.00000000"
    assert (row["status"], row["baseAsset"], row["quoteAsset"], row["permissionSets"]) == (
        "TRADING",
        "BTC",
        "USDT",
        [["SPOT"]],
    )


def test_tick_and_precision_of_futures() -> None:
    row = exchange_info_row(PayloadEncoder("usdm", "BTCUSDT", decimals_of("usdm", price=1, quantity=3, printed=(2, 3))))
    filters = {each["filterType"]: each for each in row["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.10"
    assert filters["MARKET_LOT_SIZE"]["stepSize"] == "0.001"
    assert (filters["LOT_SIZE"]["maxQty"], filters["MARKET_LOT_SIZE"]["maxQty"]) == ("1000.000", "120.000")
    assert (row["contractType"], row["pricePrecision"], row["quantityPrecision"]) == ("PERPETUAL", 2, 3)
