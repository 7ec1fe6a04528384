from typing import Any

import pytest

from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.binance.spot_rest import SpotRest, in_microseconds
from sources.replay.exchange.limits import SPOT_LIMITS
from sources.replay.market.market import Market
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket


class View:
    def __init__(self) -> None:
        self.market: Market = ScriptedMarket()
        self.now_ms = BEGIN_MS + 5

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        return self.market.depth(symbol, limit)


def ask(name: str, **sent: str) -> Answer:
    return SpotRest(View(), SPOT_LIMITS).endpoints["/api/v3/" + name](Parameters(sent))


def test_ping_and_time() -> None:
    assert ask("ping") == Answer({}, 1)
    assert ask("time") == Answer({"serverTime": BEGIN_MS + 5}, 1)
    with pytest.raises(ApiError, match="expected '0' and received '1'"):
        ask("time", symbol="BTCUSDT")


@pytest.mark.parametrize(
    ("limit", "levels", "weight"),
    [(None, 100, 5), ("1", 1, 5), ("101", 101, 25), ("501", 501, 50), ("1001", 1_001, 250), ("9999", 5_000, 250)],
)
def test_depth_is_weighed_by_its_limit_and_clamped(limit: str | None, levels: int, weight: int) -> None:
    answer = ask("depth", symbol="BTCUSDT", **({} if limit is None else {"limit": limit}))
    assert answer.weight == weight
    assert answer.body["lastUpdateId"] == 1_000
    assert len(answer.body["bids"]) == len(answer.body["asks"]) == levels


def test_a_book_that_does_not_exist_yet_fits_no_difference() -> None:
    assert ask("depth", symbol="ETHUSDT").body == {"lastUpdateId": 0, "bids": [], "asks": []}


def test_exchange_info() -> None:
    info, weight = ask("exchangeInfo")
    assert weight == 20
    assert {key: info[key] for key in ("timezone", "serverTime", "exchangeFilters")} == {
        "timezone": "UTC",
        "serverTime": BEGIN_MS + 5,
        "exchangeFilters": [],
    }
    assert info["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 6_000,
    }
    assert [row["symbol"] for row in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert [row["symbol"] for row in ask("exchangeInfo", symbol="ETHUSDT").body["symbols"]] == ["ETHUSDT"]
    assert [row["symbol"] for row in ask("exchangeInfo", symbols='["ETHUSDT"]').body["symbols"]] == ["ETHUSDT"]
    assert ask("exchangeInfo", symbolStatus="HALT").body["symbols"] == []
    assert ask("exchangeInfo", permissions="LEVERAGED").body["symbols"] == []
    assert len(ask("exchangeInfo", permissions='["MARGIN","SPOT"]').body["symbols"]) == 2
    assert "permissionSets" not in ask("exchangeInfo", showPermissionSets="false").body["symbols"][0]


def test_aggregate_trades_are_paged_by_id() -> None:
    pages, next_id = list[list[int]](), 0
    while not pages or len(pages[-1]) == 1_000:
        answer = ask("aggTrades", symbol="BTCUSDT", fromId=str(next_id), limit="1000")
        assert answer.weight == 4
        pages.append([row["a"] for row in answer.body])
        next_id += len(pages[-1])
    assert [number for page in pages for number in page] == list(range(3_000))


def test_aggregate_trades_by_time() -> None:
    times = {"startTime": str(BEGIN_MS + 2_000), "endTime": str(BEGIN_MS + 4_000)}
    assert [row["a"] for row in ask("aggTrades", symbol="BTCUSDT", **times).body] == [2, 3, 4]
    assert [row["a"] for row in ask("aggTrades", symbol="BTCUSDT", limit="2").body] == [2_998, 2_999]
    assert ask("aggTrades", symbol="BTCUSDT", startTime="5", endTime="4").body == []
    with pytest.raises(ApiError, match="Combination of optional parameters invalid"):
        ask("aggTrades", symbol="BTCUSDT", fromId="1", startTime="5")


def test_trades() -> None:
    assert [row["id"] for row in ask("trades", symbol="BTCUSDT", limit="2").body] == [8_998, 8_999]
    assert [row["id"] for row in ask("historicalTrades", symbol="BTCUSDT", limit="2", fromId="7").body] == [7, 8]


def test_klines() -> None:
    answer = ask("klines", symbol="BTCUSDT", interval="1m", limit="1", startTime=str(BEGIN_MS))
    assert answer == Answer(
        [[BEGIN_MS, "1.0", "2.0", "0.5", "1.5", "4.0", BEGIN_MS + 59_999, "6.0", 3, "1", "2", "0"]], 2
    )
    assert ask("uiKlines", symbol="BTCUSDT", interval="1s").weight == 2
    assert ask("klines", symbol="BTCUSDT", interval="1h", timeZone="-03:00").weight == 2


def test_the_average_price_is_weighted_by_volume() -> None:
    assert ask("avgPrice", symbol="BTCUSDT") == Answer({"mins": 5, "price": "1.50000000", "closeTime": BEGIN_MS}, 2)


def test_tickers_for_one_for_some_and_for_all() -> None:
    price = {"symbol": "BTCUSDT", "price": "100.50000000"}
    assert ask("ticker/price", symbol="BTCUSDT") == Answer(price, 2)
    assert ask("ticker/price", symbols='["BTCUSDT"]') == Answer([price], 4)
    assert ask("ticker/price") == Answer([price, price | {"symbol": "ETHUSDT"}], 4)
    assert ask("ticker/24hr", symbol="BTCUSDT").weight == 2
    assert ask("ticker/24hr", symbols='["BTCUSDT"]').weight == 2
    assert ask("ticker/24hr").weight == 80
    assert "priceChange" in ask("ticker/24hr", symbol="BTCUSDT").body
    assert "priceChange" not in ask("ticker/24hr", symbol="BTCUSDT", type="MINI").body
    assert [row["symbol"] for row in ask("ticker/bookTicker").body] == ["BTCUSDT", "ETHUSDT"]


def test_rolling_windows_open_on_a_whole_minute() -> None:
    minute = BEGIN_MS // 60_000 * 60_000
    row = ask("ticker", symbol="BTCUSDT", windowSize="4h").body
    assert row["openTime"] == minute - 4 * 3_600_000
    assert ask("ticker", symbol="BTCUSDT").body["openTime"] == minute - 86_400_000
    rows, weight = ask("ticker", symbols='["BTCUSDT","ETHUSDT"]', type="MINI")
    assert ([row["symbol"] for row in rows], weight) == (["BTCUSDT", "ETHUSDT"], 8)
    assert "priceChange" not in rows[0]
    day = ask("ticker/tradingDay", symbol="BTCUSDT", timeZone="8").body
    assert (day["openTime"] + 8 * 3_600_000) % 86_400_000 == 0
    assert day["closeTime"] == day["openTime"] + 86_400_000 - 1


@pytest.mark.parametrize(
    ("name", "sent", "code"),
    [
        ("ticker", {}, -1102),
        ("ticker/tradingDay", {}, -1102),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "60m"}, -1130),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "8d"}, -1130),
        ("ticker", {"symbol": "BTCUSDT", "timeZone": "0"}, -1104),
        ("ticker/24hr", {"symbol": "BTCUSDT", "symbolStatus": "HALT"}, -1220),
        ("depth", {"symbol": "BTCUSDT", "symbolStatus": "HALT"}, -1220),
        ("ticker/price", {"symbolStatus": "OPEN"}, -1122),
        ("exchangeInfo", {"symbol": "BTCUSDT", "permissions": "SPOT"}, -1128),
        ("exchangeInfo", {"permissions": "TRADER"}, -1130),
        ("exchangeInfo", {"permission": "SPOT"}, -1104),
        ("depth", {"symbol": "BTCUSDT", "levels": "5"}, -1104),
        ("avgPrice", {"symbol": "BTCUSDT", "limit": "5"}, -1104),
    ],
)
def test_what_spot_refuses(name: str, sent: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        ask(name, **sent)
    assert refused.value.code == code


def test_microseconds() -> None:
    assert in_microseconds({"serverTime": 5}) == {"serverTime": 5_000}
    assert in_microseconds([{"T": 5, "a": 6}]) == [{"T": 5_000, "a": 6}]
    kline = [60_000, "1", "1", "1", "1", "1", 119_999, "1", 3, "1", "1", "0"]
    assert in_microseconds([kline]) == [[60_000_000, *kline[1:6], 119_999_999, *kline[7:]]]
