"""A client of TradingView's protocol UDF that makes the documented calls, as the charts do."""

from typing import Any

import pytest

from tests.fakes.candles import BEGIN, candle, gap
from tests.fakes.interface import NOW, Deployment, Interface, fill, interface, stored_candles

SECOND = BEGIN // 1_000
MINUTE_S = 60


class Charts:
    """What the library of charts does with a data feed, without drawing."""

    def __init__(self, served: Interface) -> None:
        self._served = served

    async def call(self, name: str, **query: Any) -> Any:
        status, body = await self._served.get(f"/udf/{name}", params=query)
        assert status == 200, body
        return body

    async def bars(self, symbol: str, *, to: int, count: int, most_calls: int = 20) -> list[tuple[int, float]]:
        """The last bars before a time: goes back as `nextTime` says, until there are so many or no more."""
        found: dict[int, float] = {}
        for _ in range(most_calls):
            answer = await self.call(
                "history", symbol=symbol, resolution="1", to=to, countback=count - len(found), **{"from": to - MINUTE_S}
            )
            if answer["s"] == "no_data":
                if "nextTime" not in answer:
                    break
                to = answer["nextTime"] + 1
                continue
            assert answer["s"] == "ok"
            assert len({len(answer[name]) for name in "tohlcv"}) == 1
            assert answer["t"] == sorted(set(answer["t"]))
            assert answer["t"][-1] < to
            found |= dict(zip(answer["t"], answer["c"], strict=True))
            to = answer["t"][0]
            if len(found) >= count:
                break
        return sorted(found.items())


async def test_a_chart_walks_the_documented_calls(served: Interface) -> None:
    charts = Charts(served)
    config = await charts.call("config")
    assert config["supports_search"] != config["supports_group_request"]
    assert config["supported_resolutions"] == ["1", "5", "15", "60", "240", "1D"]
    assert {"value": "binance", "name": "binance", "desc": "binance"} in config["exchanges"]

    found = await charts.call("search", query="btc", type="crypto", exchange="binance", limit=10)
    assert [(one["symbol"], one["ticker"], one["type"]) for one in found] == [("BTCUSDT", "BINANCE:BTCUSDT", "crypto")]
    symbol = await charts.call("symbols", symbol=found[0]["ticker"])
    assert (symbol["name"], symbol["ticker"], symbol["exchange"]) == ("BTCUSDT", "BINANCE:BTCUSDT", "BINANCE")
    assert (symbol["minmov"], symbol["pricescale"], symbol["volume_precision"]) == (1, 100, 5)
    assert (symbol["session"], symbol["timezone"], symbol["has_daily"]) == ("24x7", "Etc/UTC", True)
    assert symbol["description"] == "BTC/USDT at binance"

    async with served.session.get(f"{served.url}/udf/time") as response:
        now = int(await response.text())
    assert now >= NOW // 1_000
    bars = await charts.bars(symbol["ticker"], to=now, count=300)
    assert bars == [*((SECOND + n * MINUTE_S, 100.0 + n) for n in range(10)), (SECOND + 10 * MINUTE_S, 1_020.0)]

    quotes = await charts.call("quotes", symbols="BINANCE:BTCUSDT,ETHUSDT,NONE")
    assert quotes["s"] == "ok"
    assert [(one["s"], one["n"], one["v"].get("lp")) for one in quotes["d"]] == [
        ("ok", "BINANCE:BTCUSDT", 100.0),
        ("ok", "BINANCE:ETHUSDT", 50.0),
        ("error", "NONE", None),
    ]
    assert [quotes["d"][0]["v"][name] for name in ("bid", "ask", "ch", "chp", "volume")] == [
        99.5,
        100.5,
        1.5,
        0.25,
        1e3,
    ]


async def test_a_range_is_without_its_end_and_countback_is_worth_more(served: Interface) -> None:
    charts = Charts(served)
    span = {"symbol": "BTCUSDT", "resolution": "1", "from": SECOND + 2 * MINUTE_S, "to": SECOND + 5 * MINUTE_S}
    assert (await charts.call("history", **span))["t"] == [SECOND + n * MINUTE_S for n in (2, 3, 4)]
    assert (await charts.call("history", **span, countback=4))["t"] == [SECOND + n * MINUTE_S for n in (1, 2, 3, 4)]
    assert (await charts.call("history", **{**span, "resolution": "3"}))["s"] == "error"


async def test_a_hole_is_no_data_and_the_bar_before_it(deployment: Deployment) -> None:
    fill(deployment)
    deployment.store([*stored_candles(3), candle(2_000)])
    async with interface(deployment) as served:
        charts = Charts(served)
        span = {"from": SECOND + 1_000 * MINUTE_S, "to": SECOND + 1_500 * MINUTE_S}
        answer = await charts.call("history", symbol="BTCUSDT", resolution="1", **span)
        assert answer == {"s": "no_data", "nextTime": SECOND + 10 * MINUTE_S}
        older = await charts.call("history", symbol="BTCUSDT", resolution="1", **{"from": 60, "to": 120})
        assert older == {"s": "no_data"}
        bars = await charts.bars("BTCUSDT", to=SECOND + 2_001 * MINUTE_S, count=5)
        assert [time - SECOND for time, _ in bars] == [7 * 60, 8 * 60, 9 * 60, 10 * 60, 2_000 * 60]


async def test_marks_are_incidents_and_revisions(deployment: Deployment) -> None:
    fill(deployment)
    deployment.store([candle(3, status="repaired", revision=1), gap(begin=BEGIN + 4 * 60_000 + 5)])
    async with interface(deployment) as served:
        span = {"symbol": "BINANCE:BTCUSDT", "resolution": "1", "from": SECOND, "to": SECOND + 5 * MINUTE_S}
        marks = await Charts(served).call("marks", **span)
        below = await Charts(served).call("timescale_marks", **span)
    shown = sorted(zip(marks["time"], marks["label"], strict=True))
    assert shown == [(SECOND, "G"), (SECOND + 180, "R"), (SECOND + 240, "G")]
    assert [one["id"] for one in below] == marks["id"]
    assert len(set(marks["id"])) == 3


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("history?symbol=BTCUSDT&resolution=9&from=0&to=60", "is none of 1, 5, 15"),
        ("history?symbol=BTCUSDT&from=0&to=60", "missing required field `resolution`"),
        ("history?symbol=BTCUSDT&resolution=1&from=soon&to=60", "Expected `int`"),
        ("marks?symbol=BTCUSDT&symbol=ETHUSDT&resolution=1&from=0&to=60", "symbol is there more than once"),
        ("symbols", "missing required field `symbol`"),
        ("quotes?symbols=", "`$.symbols"),
    ],
)
async def test_what_cannot_be_read_is_refused_in_the_protocols_form(served: Interface, call: str, reason: str) -> None:
    async with served.session.get(f"{served.url}/udf/{call}") as response:
        answer = await response.json()
    assert (response.status, answer["s"], set(answer)) == (200, "error", {"s", "errmsg"})
    assert reason in answer["errmsg"]


@pytest.mark.parametrize("symbol", ["BTCUSDX", "NOWHERE:BTCUSDT", "a b", "::"])
async def test_an_unknown_symbol_is_named_so(served: Interface, symbol: str) -> None:
    charts = Charts(served)
    assert await charts.call("symbols", symbol=symbol) == {"s": "error", "errmsg": "unknown_symbol"}
    span = {"resolution": "1", "from": 0, "to": SECOND}
    assert await charts.call("history", symbol=symbol, **span) == {"s": "error", "errmsg": "unknown_symbol"}
