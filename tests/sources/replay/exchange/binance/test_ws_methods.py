import pytest

from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest_api import market_endpoints
from sources.replay.exchange.binance.ws_methods import (
    Connection,
    find_method,
    market_methods,
    parameters_of,
)
from sources.replay.market.market import MarketKind
from tests.fakes.weighed_view import WeighedView

CONNECTION = Connection(opened_ms=0, shows_limits=True)
SENT = {"symbol": "BTCUSDT"}
KLINES = SENT | {"interval": "1m"}
SPOT = {
    "ping": ("ping", {}),
    "time": ("time", {}),
    "exchangeInfo": ("exchangeInfo", {}),
    "depth": ("depth", SENT),
    "trades.recent": ("trades", SENT),
    "trades.historical": ("historicalTrades", SENT),
    "trades.aggregate": ("aggTrades", SENT),
    "klines": ("klines", KLINES),
    "uiKlines": ("uiKlines", KLINES),
    "avgPrice": ("avgPrice", SENT),
    "ticker.24hr": ("ticker/24hr", SENT),
    "ticker.tradingDay": ("ticker/tradingDay", SENT),
    "ticker": ("ticker", SENT),
    "ticker.price": ("ticker/price", SENT),
    "ticker.book": ("ticker/bookTicker", SENT),
}
USDM = {
    "depth": ("depth", SENT),
    "ticker.price": ("ticker/price", SENT),
    "ticker.book": ("ticker/bookTicker", SENT),
}


@pytest.mark.parametrize(("kind", "prefix", "methods"), [("spot", "/api/v3/", SPOT), ("usdm", "/fapi/v1/", USDM)])
def test_each_method_has_the_answer_and_the_weight_of_rest(
    kind: MarketKind, prefix: str, methods: dict[str, tuple[str, dict[str, str]]]
) -> None:
    endpoints = market_endpoints(kind, WeighedView(kind=kind))
    found = market_methods(kind, endpoints)
    assert found.keys() == methods.keys()
    for name, (path, sent) in methods.items():
        assert found[name](CONNECTION, Parameters(sent)) == endpoints[prefix + path](Parameters(sent)), name


def test_a_method_may_be_named_with_its_version() -> None:
    methods = market_methods("spot", market_endpoints("spot", WeighedView()))
    assert find_method("spot", methods, "v3/ping") is methods["ping"]
    for name in ("v1/ping", "v3/v3/ping", "SUBSCRIBE", ""):
        with pytest.raises(ApiError) as refused:
            find_method("spot", methods, name)
        assert refused.value.code == -1020


def test_values_are_read_as_rest_reads_them() -> None:
    parameters = parameters_of({"limit": 5, "symbols": ["BTCUSDT", "币安人生USDT"], "flag": True, "fromId": None})
    assert parameters.integer("limit") == 5
    assert parameters.text("symbols") == '["BTCUSDT","币安人生USDT"]'
    assert parameters.text("flag") == "true"
    assert parameters.text("fromId") is None
    with pytest.raises(ApiError) as refused:
        parameters_of({"limit": 5.5}).integer("limit")
    assert refused.value.code == -1100
