from typing import Any

import pytest

from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.binance.usdm_rest import UsdmRest
from sources.replay.exchange.limits import USDM_LIMITS
from sources.replay.market.market import Market
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket


class View:
    def __init__(self) -> None:
        self.market: Market = ScriptedMarket(kind="usdm")
        self.now_ms = BEGIN_MS + 5

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        return self.market.depth(symbol, limit)


def ask(name: str, key: str | None = None, /, **sent: str) -> Answer:
    return UsdmRest(View(), USDM_LIMITS).endpoints["/fapi/" + name](Parameters(sent, key=key))


def test_exchange_info_takes_no_parameters_and_ignores_them() -> None:
    info, weight = ask("v1/exchangeInfo", symbol="ETHUSDT")
    assert weight == 1
    assert info["futuresType"] == "U_MARGINED"
    assert info["serverTime"] == BEGIN_MS + 5
    assert info["assets"] == [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]
    assert info["rateLimits"][0]["limit"] == 2_400
    assert [row["symbol"] for row in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize(
    ("limit", "weight"),
    [(None, 10), ("5", 2), ("50", 2), ("100", 5), ("500", 10), ("1000", 20)],
)
def test_depth_has_times_and_is_weighed_by_its_limit(limit: str | None, weight: int) -> None:
    answer = ask("v1/depth", symbol="BTCUSDT", **({} if limit is None else {"limit": limit}))
    assert answer.weight == weight
    assert {key: answer.body[key] for key in ("lastUpdateId", "E", "T")} == {
        "lastUpdateId": 1_000,
        "E": BEGIN_MS + 5,
        "T": BEGIN_MS + 5,
    }
    assert len(answer.body["bids"]) == int(limit or 500)


@pytest.mark.parametrize("limit", [None, "1000"])
def test_the_book_with_orders_of_retail_price_improvement_is_whole(limit: str | None) -> None:
    whole = ask("v1/depth", symbol="BTCUSDT", limit="1000")
    assert ask("v1/rpiDepth", symbol="BTCUSDT", **({} if limit is None else {"limit": limit})) == whole
    with pytest.raises(ApiError, match="'500' is not valid depth limit"):
        ask("v1/rpiDepth", symbol="BTCUSDT", limit="500")


@pytest.mark.parametrize("limit", ["0", "7", "5000"])
def test_depth_has_fixed_limits(limit: str) -> None:
    with pytest.raises(ApiError, match=f"'{limit}' is not valid depth limit") as refused:
        ask("v1/depth", symbol="BTCUSDT", limit=limit)
    assert refused.value.code == -4021


@pytest.mark.parametrize(("limit", "weight"), [("99", 1), ("100", 2), ("500", 5), ("1000", 5), ("1001", 10)])
def test_klines_are_weighed_by_their_limit(limit: str, weight: int) -> None:
    assert ask("v1/klines", symbol="BTCUSDT", interval="1m", limit=limit).weight == weight
    same = ask("v1/continuousKlines", pair="BTCUSDT", contractType="PERPETUAL", interval="1m", limit=limit)
    assert same == ask("v1/klines", symbol="BTCUSDT", interval="1m", limit=limit)


@pytest.mark.parametrize(
    ("name", "sent", "code"),
    [
        ("v1/klines", {"symbol": "BTCUSDT", "interval": "1s"}, -1120),
        ("v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "1501"}, -1130),
        ("v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "2", "endTime": "1"}, -1023),
        ("v1/continuousKlines", {"pair": "BTCUSDT", "contractType": "NEXT_QUARTER", "interval": "1m"}, -1121),
        ("v1/aggTrades", {"symbol": "BTCUSDT", "startTime": "0", "endTime": "3600001"}, -1127),
        ("v1/trades", {"symbol": "NOSUCH"}, -1121),
        ("v1/historicalTrades", {"symbol": "BTCUSDT"}, -2014),
        ("v1/continuousKlines", {"pair": "BTCUSDT", "interval": "1m"}, -1102),
    ],
)
def test_what_usdm_refuses(name: str, sent: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        ask(name, **sent)
    assert refused.value.code == code


def test_trades_and_tickers() -> None:
    rows = ask("v1/aggTrades", symbol="BTCUSDT", fromId="10", limit="3")
    assert ([row["a"] for row in rows.body], rows.weight) == ([10, 11, 12], 20)
    assert ask("v1/trades", symbol="BTCUSDT").weight == 5
    assert ask("v1/historicalTrades", "k" * 64, symbol="BTCUSDT", fromId="3", limit="1").body[0]["id"] == 3
    price = {"symbol": "BTCUSDT", "price": "100.50000000", "time": BEGIN_MS}
    assert ask("v1/ticker/price", symbol="BTCUSDT") == Answer(price, 1)
    assert ask("v2/ticker/price") == Answer([price, price | {"symbol": "ETHUSDT"}], 2)
    assert (ask("v1/ticker/24hr", symbol="BTCUSDT").weight, ask("v1/ticker/24hr").weight) == (1, 40)
    assert (ask("v1/ticker/bookTicker", symbol="BTCUSDT").weight, ask("v1/ticker/bookTicker").weight) == (2, 5)
