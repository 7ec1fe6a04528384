"""The response of each route, with a real hub, a real mongod and a real trade store."""

import io
from http import HTTPStatus
from typing import Any, Final

import polars as pl
import pytest
from pymongo import MongoClient

from flows.model import Candle, FeedStatus, Reconciliation
from sinks.hub.payloads import iso_utc
from sinks.mongo.commands import CommandConsumer
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.interface import NOW, Deployment, Interface, fill, interface, price, stored_candles, trade, until

MINUTE = 60_000
WRONG: Final[Reconciliation] = "ours wrong"


def closes(chart: Any) -> list[tuple[int, float]]:
    return [(one["timestamp"], one["close"]) for one in chart["candles"]]


def minutes(*numbers: int) -> list[tuple[int, float]]:
    return [(BEGIN + number * MINUTE, 100.0 + number) for number in numbers]


FORMING = (BEGIN + 10 * MINUTE, 1_020.0)


async def test_prices_say_how_old_they_are(served: Interface, deployment: Deployment) -> None:
    one = await served.data("/api/prices/btcusdt")
    assert one == {
        "venue": "binance",
        "symbol": "BTCUSDT",
        "price": 100.0,
        "price_change_24h": 1.5,
        "price_change_percent_24h": 0.25,
        "volume_24h": 1_000.0,
        "timestamp": NOW,
        "age_ms": one["age_ms"],
        "stale": one["age_ms"] > 1_000,
        "state": None,
        "clock": None,
    }
    deployment.tell(price(51.0, "ETHUSDT", time=NOW + 60_000))
    await until(lambda: served.services.live.price("ETHUSDT") == 51.0)
    old, new = await served.data("/api/prices")
    assert (old["symbol"], old["stale"]) == ("BTCUSDT", True)
    assert old["age_ms"] >= 60_000
    assert (new["symbol"], new["stale"]) == ("ETHUSDT", False)
    assert [each["symbol"] for each in await served.data("/api/prices?symbols=ethusdt")] == ["ETHUSDT"]
    for path in ("/api/prices", "/api/ticks", "/api/overview"):
        status, answer = await served.get(f"{path}?symbols=ethusdt,BTCUSD")
        assert (status, answer["error"]["code"]) == (404, "unknown_symbol")
        assert answer["error"]["nearest"][0] == "BTCUSDT"


async def test_ticks_have_the_best_bid_and_ask_where_they_are_known(served: Interface) -> None:
    ticks = await served.data("/api/ticks")
    assert [(tick["symbol"], tick["bid"], tick["ask"]) for tick in ticks] == [
        ("BTCUSDT", 99.5, 100.5),
        ("ETHUSDT", None, None),
    ]


async def test_a_chart_joins_the_stored_and_the_forming_candle(served: Interface) -> None:
    chart = await served.data("/api/chart/BTCUSDT/1m?limit=11")
    assert closes(chart) == [*minutes(*range(10)), FORMING]
    assert (chart["latest_price"], chart["volume_24h"], chart["history"]) == (100.0, 1_000.0, None)
    assert chart["seq"] == served.services.live.connections[0].seq
    assert closes(await served.data(f"/api/chart/BTCUSDT/1m?limit=3&end={BEGIN + 5 * MINUTE}")) == minutes(2, 3, 4)
    span = f"start={BEGIN + 7 * MINUTE}&end={BEGIN + 12 * MINUTE}"
    assert closes(await served.data(f"/api/chart/BTCUSDT/1m?{span}")) == [*minutes(7, 8, 9), FORMING]


async def test_a_chart_continues_with_the_hubs_candles(served: Interface, deployment: Deployment) -> None:
    await served.data("/api/chart/BTCUSDT/1m?limit=2")
    deployment.tell(candle(10, close=110.0), forming(11), candle(8, close=8.5, revision=1, status="repaired"))
    live = served.services.live

    def cached() -> list[Candle]:
        return live.candles.contents(live.candles.keys()[0])

    # the hub paces what is forming and hurries what is closed: the forming candle may come after the others
    await until(lambda: any(one.revision for one in cached()) and cached()[-1].open_time == BEGIN + 11 * MINUTE)
    chart = await served.data("/api/chart/BTCUSDT/1m?limit=4")
    amended = (BEGIN + 8 * MINUTE, 8.5)
    assert closes(chart) == [amended, *minutes(9, 10), (BEGIN + 11 * MINUTE, 1_020.0)]


async def test_fewer_candles_than_requested_are_returned_and_the_rest_is_requested(served: Interface) -> None:
    chart = await served.data("/api/chart/BTCUSDT/1m?limit=100")
    assert closes(chart) == [*minutes(*range(10)), FORMING]
    assert (chart["history"]["kind"], chart["history"]["state"]) == ("history", "open")
    again = await served.data("/api/chart/BTCUSDT/1m?limit=100")
    assert again["history"]["id"] == chart["history"]["id"]


async def test_older_candles_that_do_not_reach_the_end_of_the_range_are_requested_up_to_it(
    served: Interface, deployment: Deployment
) -> None:
    deployment.store([candle(minute) for minute in range(-60, -30)])  # the flow stores a history, the oldest first
    chart = await served.data(f"/api/chart/BTCUSDT/1m?limit=20&end={BEGIN}")
    assert [one for one, _ in closes(chart)] == [BEGIN + minute * MINUTE for minute in range(-50, -30)]
    assert (chart["history"]["kind"], chart["history"]["state"]) == ("history", "open")
    whole = await served.data(f"/api/chart/BTCUSDT/1m?limit=5&end={BEGIN + 10 * MINUTE}")
    assert (closes(whole), whole["history"]) == (minutes(5, 6, 7, 8, 9), None)
    later = await served.data(f"/api/chart/BTCUSDT/1m?limit=5&end={BEGIN + 90 * MINUTE}")
    assert (closes(later), later["history"]) == ([*minutes(6, 7, 8, 9), FORMING], None)


async def test_a_symbol_without_candles_is_subscribed_and_fetched(served: Interface, deployment: Deployment) -> None:
    status, answer = await served.get("/api/chart/SOLUSDT/1h?limit=100")
    job = answer["data"]
    assert (status, job["state"], job["symbol"], job["timeframe"]) == (202, "open", "SOLUSDT", "1h")
    assert job["wait_s"] >= 1
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        flow = CommandConsumer(client[deployment.database])
        assert [(subscription.symbol, subscription.wanted) for subscription in flow.subscriptions("binance")] == [
            ("SOLUSDT", True)
        ]
        taken = flow.take("binance")
        assert taken is not None
        deployment.store(stored_candles(100, symbol="SOLUSDT", timeframe="1h"))
        flow.report(taken.id, "done", "100 candles")
    assert (await served.data(f"/api/requests/{job['id']}"))["report"] == "100 candles"
    hours = [candle(minute, symbol="SOLUSDT") for minute in range(100)]
    chart = await served.data("/api/chart/SOLUSDT/1h?limit=100")
    assert closes(chart) == [(one.open_time, 100.0 + n) for n, one in enumerate(hours)]


async def test_history_that_does_not_exist_is_not_requested_again(served: Interface, deployment: Deployment) -> None:
    await served.get("/api/chart/SOLUSDT/1h")
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        flow = CommandConsumer(client[deployment.database])
        taken = flow.take("binance")
        assert taken is not None
        flow.report(taken.id, "failed", "the venue has none")
    assert await served.error("/api/chart/SOLUSDT/1h") == (404, "no_data")


async def test_before_the_first_candle_of_a_series_the_chart_is_empty(
    served: Interface, deployment: Deployment
) -> None:
    address = f"/api/chart/BTCUSDT/1m?end={BEGIN}"
    assert (await served.get(address))[0] == HTTPStatus.ACCEPTED
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        flow = CommandConsumer(client[deployment.database])
        taken = flow.take("binance")
        assert taken is not None
        flow.report(taken.id, "done", "0 candles")
    assert closes(await served.data(address)) == []


async def test_several_charts_come_at_once(served: Interface) -> None:
    charts = await served.data("/api/charts?symbols=BTCUSDT,ETHUSDT&timeframes=1m,5m&limit=2")
    assert [(chart["symbol"], chart["timeframe"], len(chart["candles"])) for chart in charts] == [
        ("BTCUSDT", "1m", 2),
        ("BTCUSDT", "5m", 0),
        ("ETHUSDT", "1m", 0),
        ("ETHUSDT", "5m", 0),
    ]


async def test_candles_and_rows_say_the_same(served: Interface) -> None:
    (full,) = (await served.data(f"/api/candles/BTCUSDT/1m?start={BEGIN}&end={BEGIN + MINUTE}"))["candles"]
    assert (full["open"], full["trades"], full["first_id"], full["last_id"]) == (100.0, 42, 1_000, 1_041)
    rows = (await served.data(f"/api/ohlcv?symbol=BTCUSDT&timeframe=1m&start={BEGIN}&end={BEGIN + MINUTE}"))["rows"]
    assert rows == [[BEGIN, 100.0, 101.5, 99.25, 100.0, 12.5]]


async def test_pages_of_trades_are_all_trades_once(served: Interface) -> None:
    path = f"/api/trades?symbol=BTCUSDT&start={BEGIN}&limit=7"
    ids, cursor = [], ""
    while cursor is not None:
        page = await served.data(f"{path}&cursor={cursor}")
        ids += [one["id"] for one in page["trades"]]
        cursor = page["next"]
    assert ids == list(range(1, 41))
    newest = await served.data("/api/trades?symbol=BTCUSDT&limit=3")
    assert [one["id"] for one in newest["trades"]] == [38, 39, 40]
    before = await served.data(f"/api/trades?symbol=BTCUSDT&limit=2&end={BEGIN + 10_000}")
    assert [one["id"] for one in before["trades"]] == [8, 9]


async def arrow(served: Interface, query: str) -> pl.DataFrame:
    async with served.session.get(f"{served.url}/trades.arrow?{query}") as response:
        assert response.content_type == "application/vnd.apache.arrow.stream"
        return pl.read_ipc_stream(io.BytesIO(await response.read()))


async def test_trades_come_as_an_arrow_stream(served: Interface) -> None:
    span = f"from={BEGIN + 2_000}&to={BEGIN + 4_000}"
    frame = await arrow(served, f"venue=binance&market=spot&symbol=btcusdt&{span}&limit=1000")
    assert frame.schema == {"ts": pl.Int64, "price": pl.Float64, "qty": pl.Float64, "is_sell": pl.Boolean}
    assert frame.rows() == [
        (BEGIN + 2_000, 102.0, 0.5, True),
        (BEGIN + 3_000, 103.0, 0.5, False),
        (BEGIN + 4_000, 104.0, 0.5, True),
    ]
    numbered = await arrow(served, f"symbol=BTCUSDT&{span}&with_id=true")
    assert numbered.drop("id").equals(frame)
    assert numbered.schema["id"] == pl.Int64
    assert numbered["id"].to_list() == [2, 3, 4]
    for market in ("linear", "usdm", "inverse"):
        assert await served.error(f"/trades.arrow?symbol=BTCUSDT&market={market}") == (404, "unknown_venue")
    assert (await arrow(served, "symbol=BTCUSDT&limit=5"))["price"].to_list() == [101.0, 102.0, 103.0, 104.0, 105.0]
    assert (await arrow(served, f"symbol=BTCUSDT&from={BEGIN + 10**9}")).height == 0


async def test_an_arrow_stream_of_many_batches_is_complete(deployment: Deployment) -> None:
    deployment.store_trades([trade(number, BEGIN + number * 10) for number in range(1, 130_001)])
    async with interface(deployment) as running:
        frame = await arrow(running, "symbol=BTCUSDT")
        assert frame["ts"].to_list() == [BEGIN + number * 10 for number in range(1, 130_001)]
        assert (await arrow(running, "symbol=BTCUSDT&limit=120000")).height == 120_000


async def test_the_book_has_as_many_levels_as_requested(served: Interface) -> None:
    book = await served.data("/api/orderbook/BTCUSDT?depth=1")
    assert (book["bids"], book["asks"], book["update_id"]) == ([[99.5, 1.0]], [[100.5, 2.0]], 42)
    assert await served.error("/api/orderbook/ETHUSDT") == (404, "no_data")


async def test_symbols_are_added_and_removed(served: Interface) -> None:
    status, answer = await served.ask("POST", "/api/symbols", json={"symbol": "solusdt"})
    wanted = {"venue": "binance", "symbol": "SOLUSDT", "wanted": True, "followed": False, "streams": []}
    assert (status, answer["data"]) == (202, wanted)
    states = {state["symbol"]: state for state in await served.data("/api/symbols")}
    assert states["SOLUSDT"] == wanted
    assert (states["BTCUSDT"]["wanted"], states["BTCUSDT"]["followed"]) == (None, True)
    status, answer = await served.ask("DELETE", "/api/symbols/SOLUSDT")
    assert (status, answer["data"]["wanted"]) == (202, False)
    status, answer = await served.ask("POST", "/api/subscribe", json={"symbols": ["ETHUSDT", "SOLUSDT"]})
    assert [(each["symbol"], each["wanted"]) for each in answer["data"]] == [("ETHUSDT", True), ("SOLUSDT", True)]
    status, answer = await served.ask("POST", "/api/subscribe", json={"symbol": "solusdt", "symbols": ["SOLUSDT"]})
    assert [each["symbol"] for each in answer["data"]] == ["SOLUSDT"]
    status, answer = await served.ask("POST", "/api/subscribe", json={})
    assert (status, answer["error"]["code"]) == (400, "bad_request")


async def test_a_time_has_several_forms(served: Interface) -> None:
    begin, end = BEGIN + 2 * MINUTE, BEGIN + 5 * MINUTE
    for of in (str, lambda ms: str(ms // 1_000), iso_utc, lambda ms: iso_utc(ms).replace("Z", "%2B00:00")):
        chart = await served.data(f"/api/chart/BTCUSDT/1m?start={of(begin)}&end={of(end)}")
        assert closes(chart) == minutes(2, 3, 4)
    assert await served.error("/api/chart/BTCUSDT/1m?start=yesterday") == (400, "bad_request")


async def test_a_symbol_that_the_flow_has_removed_is_followed_no_more(
    served: Interface, deployment: Deployment
) -> None:
    await served.ask("DELETE", "/api/symbols/BTCUSDT")
    deployment.tell(
        FeedStatus("binance", "market", "live", ("ETHUSDT",)),
        FeedStatus("binance", "market", "removed", ("BTCUSDT",), "not wanted any more"),
    )
    await until(lambda: served.services.live.symbols() == {"ETHUSDT"})
    states = {state["symbol"]: (state["wanted"], state["followed"]) for state in await served.data("/api/symbols")}
    assert states == {"BTCUSDT": (False, False), "ETHUSDT": (None, True)}
    assert [one["symbol"] for one in await served.data("/api/overview")] == ["ETHUSDT"]
    assert [one["symbol"] for one in await served.data("/api/prices")] == ["ETHUSDT"]
    assert await served.error("/api/prices/BTCUSDT") == (404, "no_data")
    candles = await served.data("/api/candles/BTCUSDT/1m")
    assert len(candles["candles"]) == 10, "what is stored stays"


async def test_a_subscription_names_its_streams(served: Interface) -> None:
    subscription = {"symbol": "SOLUSDT", "streams": ["aggTrade", "kline_5m", "kline_5m"]}
    status, answer = await served.ask("POST", "/api/symbols", json=subscription)
    assert (status, answer["data"]["streams"]) == (202, ["aggTrade", "kline_5m"])
    body = {"symbols": ["ETHUSDT", "SOLUSDT"], "streams": ["kline"]}
    await served.ask("POST", "/api/subscribe", json=body)
    states = {state["symbol"]: state["streams"] for state in await served.data("/api/symbols")}
    assert states == {"BTCUSDT": [], "ETHUSDT": ["kline"], "SOLUSDT": ["kline"]}


@pytest.mark.parametrize("stream", ["trade", "kline_3m", "tick"])
async def test_streams_that_cannot_be_followed_are_refused_with_those_that_can(served: Interface, stream: str) -> None:
    for path, body in (("symbols", {"symbol": "SOLUSDT"}), ("subscribe", {"symbols": ["ETHUSDT", "SOLUSDT"]})):
        status, answer = await served.ask("POST", f"/api/{path}", json={**body, "streams": ["aggTrade", stream]})
        assert (status, answer["error"]["code"]) == (400, "bad_request")
        assert answer["error"]["message"].startswith(
            f"streams: {stream} cannot be followed here; choose from aggTrade, kline, "
        )
    assert {state["wanted"] for state in await served.data("/api/symbols")} == {None}


async def test_the_venues_list_is_shown_once_the_flow_has_written_it(deployment: Deployment) -> None:
    async with interface(deployment) as running:
        before = await running.data("/api/supported-symbols")
        assert (before["complete"], [one["symbol"] for one in before["symbols"]]) == (False, ["BTCUSDT", "ETHUSDT"])
    deployment.list_instruments("BTCUSDT", "PEPEUSDT")
    async with interface(deployment) as running:
        after = await running.data("/api/supported-symbols")
        assert (after["complete"], [one["symbol"] for one in after["symbols"]]) == (True, ["BTCUSDT", "PEPEUSDT"])


async def test_a_refresh_is_one_request_and_reports_its_progress(served: Interface, deployment: Deployment) -> None:
    status, first = await served.ask("POST", "/api/market-data/refresh/BTCUSDT")
    _, again = await served.ask("POST", "/api/market-data/refresh/BTCUSDT")
    request_id = first["data"]["id"]
    assert (status, again["data"]["id"]) == (202, request_id)
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        CommandConsumer(client[deployment.database]).report(request_id, "done", "6 timeframes")
    ended = await served.data(f"/api/requests/{request_id}")
    assert (ended["state"], ended["report"], ended["wait_s"]) == ("done", "6 timeframes", 0.0)
    assert await served.error(f"/api/requests/{'0' * 32}") == (404, "not_found")


async def test_quality_counts_what_is_stored_proven_and_complete(deployment: Deployment) -> None:
    deployment.store_trades([trade(number, BEGIN + number * 1_000) for number in (1, 2, 4, 5)])
    deployment.store([*stored_candles(3), candle(3, status="partial"), forming(4)])
    deployment.store([candle(-1, status="venue"), candle(-2, status="venue"), candle(-3, status="venue", proof=WRONG)])
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        collection = client[deployment.database]["market_data"]
        collection.update_one({"open_time": BEGIN}, {"$set": {"proof": "equal"}})
    async with interface(deployment) as running:
        quality = await running.data("/api/quality?symbol=BTCUSDT")
        (series,) = quality["series"]
        assert (series["candles"], series["by_status"]) == (8, {"final": 3, "partial": 1, "venue": 3, "forming": 1})
        assert series["proofs"] == {"equal": 1, "not compared": 3, "exchange's own": 2, WRONG: 1}
        assert (series["first"], series["last"]) == (iso_utc(BEGIN - 3 * MINUTE), iso_utc(BEGIN + 4 * MINUTE))
        assert quality["trades"] == [{"symbol": "BTCUSDT", "held": 4, "issued": 5, "completeness": 0.8}]
        async with running.session.get(f"{running.url}/metrics") as response:
            metrics = await response.text()
        assert 'market_data_completeness{symbol="BTCUSDT",venue="binance"} 0.8' in metrics


async def test_quality_shows_the_last_incidents(served: Interface) -> None:
    (incident,) = (await served.data("/api/quality"))["incidents"]
    assert (incident["kind"], incident["first_id"], incident["begin"]) == ("gap", 7, iso_utc(BEGIN))


async def test_metrics_count_messages_and_responses(served: Interface) -> None:
    await served.data("/api/prices")
    async with served.session.get(f"{served.url}/metrics") as response:
        text = await response.text()
    assert 'market_data_updates_total{channel="MarketData",venue="binance"} 2.0' in text
    assert 'market_data_api_answers_total{route="/api/prices",status="200"} 1.0' in text
    assert "market_data_exchange_to_broadcast_seconds_count" in text
    assert "market_data_cache_size" in text


async def test_long_answers_are_compressed_for_those_who_can_read_it(served: Interface) -> None:
    url = f"{served.url}/openapi.json"
    chart = f"{served.url}/api/candles/BTCUSDT/1m?limit=11"
    async with served.session.get(chart, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
    async with served.session.get(chart, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
    async with served.session.get(url) as response:
        assert (await response.json())["openapi"] == "3.1.0"


async def test_the_documentation_needs_nothing_from_elsewhere(served: Interface) -> None:
    for path in ("/docs", "/static/docs/docs.js", "/static/docs/examples.js"):
        async with served.session.get(served.url + path) as response:
            assert response.status == 200
            assert "http://" not in (text := await response.text())
            assert "https://" not in text


async def test_a_request_keeps_its_id(served: Interface) -> None:
    async with served.session.get(f"{served.url}/api/prices/NONE", headers={"X-Request-Id": "mine-1"}) as response:
        assert response.headers["X-Request-Id"] == "mine-1"
        assert (await response.json())["error"]["request_id"] == "mine-1"
    async with served.session.get(f"{served.url}/health/live", headers={"X-Request-Id": "no id: {}"}) as response:
        assert len(response.headers["X-Request-Id"]) == 32


async def test_everything_is_up_in_a_complete_deployment(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment) as running:
        status = await running.data("/api/status")
        assert (status["missing"], status["origin"]) == ([], "replay")
        assert [part["up"] for part in (await running.data("/health/ready"))["parts"]] == [True, True, True]
        assert await running.data("/health/live") == {"alive": True}
