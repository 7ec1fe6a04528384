"""What the replay exchange says of contracts, over streams and over REST: the same at every look."""

import json
from itertools import islice, pairwise, takewhile
from typing import Any

import pytest

from flows.bounds import fault_of
from flows.model import LiquidationReport, MarkReport, RawFrames
from sources.binance.parse import BinanceParser
from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.usdm_rest import UsdmRest
from sources.replay.exchange.limits import USDM_LIMITS
from sources.replay.market.contracts import FUNDING_MS, Contract
from sources.replay.synthetic.market import SyntheticMarket

BEGIN = 1_767_225_600_000 + FUNDING_MS - 10_000
LENGTH_MS = 60_000


class View:
    def __init__(self) -> None:
        self.market = SyntheticMarket("usdm", ["BTCUSDT", "ETHUSDT"], seed=5, start_ms=BEGIN, trades_per_s=2.0)
        self.messages: list[Any] = []

    def play(self, *streams: str) -> None:
        wanted = frozenset(streams)
        played = self.market.play(wanted.__contains__)
        self.messages = [
            message
            for message in takewhile(lambda message: message.due_ms < BEGIN + LENGTH_MS, played)
            if message.stream in wanted
        ]

    @property
    def now_ms(self) -> int:
        return self.market.now_ms

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        return self.market.depth(symbol, limit)

    def get(self, path: str, **sent: str) -> Any:
        return UsdmRest(self, USDM_LIMITS).endpoints[path](Parameters(sent)).body


@pytest.fixture(scope="module")
def view() -> View:
    played = View()
    played.play(
        "btcusdt@markPrice@1s",
        "btcusdt@markPrice",
        "btcusdt@forceOrder",
        "!markPrice@arr@1s",
        "!markPrice@arr",
        "!forceOrder@arr",
        "!bookTicker",
        "btcusdt_perpetual@continuousKline_1m",
        "btcusdt@kline_1m",
        "btcusdt@ticker",
        "!ticker@arr",
    )
    return played


def of(view: View, stream: str) -> list[Any]:
    return [json.loads(message.data) for message in view.messages if message.stream == stream]


def test_mark_prices_come_every_second_and_every_three(view: View) -> None:
    marks = of(view, "btcusdt@markPrice@1s")
    times = [mark["E"] for mark in marks]
    assert len(times) >= 55
    assert {later - earlier for earlier, later in pairwise(times)} == {1_000}
    slow = [mark["E"] for mark in of(view, "btcusdt@markPrice")]
    assert {later - earlier for earlier, later in pairwise(slow)} == {3_000}


def test_the_next_funding_goes_on_at_its_time_and_its_rate_is_what_is_settled(view: View) -> None:
    marks = of(view, "btcusdt@markPrice@1s")
    boundary = BEGIN + 10_000
    assert {(mark["T"], mark["E"] < boundary) for mark in marks} == {(boundary, True), (boundary + FUNDING_MS, False)}
    rates = {mark["T"]: mark["r"] for mark in marks}
    settled = view.get("/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=str(boundary - 2 * FUNDING_MS))
    assert [row["fundingTime"] for row in settled] == [boundary - 2 * FUNDING_MS, boundary - FUNDING_MS, boundary]
    assert settled[-1]["fundingRate"] == rates[boundary]
    assert view.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")["lastFundingRate"] == rates[boundary + FUNDING_MS]


def test_all_of_it_can_be_true(view: View) -> None:
    messages = [message for message in view.messages if "@markPrice" in message.stream or "@force" in message.stream]
    messages = [message for message in messages if not message.stream.startswith("!")]
    frames = [b'{"stream":"%b","data":%b}' % (message.stream.encode(), message.data) for message in messages]
    parsed = BinanceParser("binance-usdm").parse(RawFrames("market", frames, 0))
    assert (parsed.rejected, parsed.ignored) == ([], 0)
    events = [event for _, run in parsed.events for event in run]
    assert {fault_of(event) for event in events} == {""}
    assert {type(event) for event in events} == {MarkReport, LiquidationReport}


def test_liquidations_are_made_off_the_market_and_known_by_their_time(view: View) -> None:
    orders = of(view, "btcusdt@forceOrder")
    assert len({order["o"]["T"] for order in orders}) == len(orders) >= 1
    for order in (one["o"] for one in orders):
        beyond = float(order["p"]) / float(order["ap"]) - 1
        assert beyond == pytest.approx(-0.01 if order["S"] == "SELL" else 0.01, abs=1e-3)


def test_open_interest_now_and_in_the_past(view: View) -> None:
    now = view.get("/fapi/v1/openInterest", symbol="BTCUSDT")
    rows = view.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="5m", limit="500")
    assert now["time"] == view.now_ms
    assert len(rows) == 500
    assert {b["timestamp"] - a["timestamp"] for a, b in pairwise(rows)} == {300_000}
    newest = rows[-1]
    assert view.now_ms - 300_000 < newest["timestamp"] <= view.now_ms
    value = Contract("BTCUSDT").open_interest(float(newest["sumOpenInterestValue"]), 0)
    assert float(newest["sumOpenInterest"]) == pytest.approx(float(now["openInterest"]), rel=0.05), value
    again = view.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="5m", limit="500")
    assert again == rows


def test_terms_and_lists_of_all(view: View) -> None:
    assert [row["symbol"] for row in view.get("/fapi/v1/premiumIndex")] == ["BTCUSDT", "ETHUSDT"]
    assert [row["fundingIntervalHours"] for row in view.get("/fapi/v1/fundingInfo")] == [8, 8]
    assert [row["symbol"] for row in view.get("/fapi/v1/fundingRate", limit="2")] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize(
    ("path", "sent", "code"),
    [
        ("/fapi/v1/openInterest", {}, -1102),
        ("/fapi/v1/openInterest", {"symbol": "NOPE"}, -1121),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT"}, -1102),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "7m"}, -1130),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "5m", "limit": "501"}, -1130),
        ("/fapi/v1/fundingRate", {"symbol": "BTCUSDT", "startTime": "9", "endTime": "8"}, -1023),
    ],
)
def test_what_is_refused(view: View, path: str, sent: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        view.get(path, **sent)
    assert refused.value.code == code


def test_spot_has_none_of_it() -> None:
    market = SyntheticMarket("spot", ["BTCUSDT"], seed=5, start_ms=BEGIN, trades_per_s=2.0)
    played = islice(market.play(lambda _: True), 2_000)
    assert not any("markPrice" in message.stream or "forceOrder" in message.stream for message in played)


def test_the_arrays_of_mark_prices_have_all_symbols(view: View) -> None:
    arrays = of(view, "!markPrice@arr@1s")
    assert all([row["s"] for row in rows] == ["BTCUSDT", "ETHUSDT"] for rows in arrays)
    assert [rows[0] for rows in arrays] == of(view, "btcusdt@markPrice@1s")
    assert [rows[0] for rows in of(view, "!markPrice@arr")] == of(view, "btcusdt@markPrice")


def test_all_liquidations_are_in_one_stream(view: View) -> None:
    orders: list[Any] = of(view, "!forceOrder@arr")
    assert {order["o"]["s"] for order in orders} <= {"BTCUSDT", "ETHUSDT"}
    assert [order for order in orders if order["o"]["s"] == "BTCUSDT"] == of(view, "btcusdt@forceOrder")


def test_all_quotes_come_every_five_seconds(view: View) -> None:
    times = [message.due_ms for message in view.messages if message.stream == "!bookTicker"]
    assert {time_ms // 1_000 % 5 for time_ms in times} == {0}
    quotes = of(view, "!bookTicker")
    assert {quote["s"] for quote in quotes} == {"BTCUSDT", "ETHUSDT"}
    assert list(quotes[0]) == ["e", "u", "s", "ps", "b", "B", "a", "A", "T", "E", "st"]


def test_continuous_klines_are_those_of_the_contract(view: View) -> None:
    rows, same = of(view, "btcusdt_perpetual@continuousKline_1m"), of(view, "btcusdt@kline_1m")
    assert [row["k"] for row in rows] == [{key: row["k"][key] for key in row["k"] if key != "s"} for row in same]
    assert {(row["e"], row["ps"], row["ct"]) for row in rows} == {("continuous_kline", "BTCUSDT", "PERPETUAL")}


def test_tickers_come_every_two_seconds_and_have_a_last_quantity(view: View) -> None:
    rows = of(view, "btcusdt@ticker")
    assert {after["E"] - before["E"] for before, after in pairwise(rows)} == {2_000}
    assert min(float(row["Q"]) for row in rows) > 0
    changes = [after[0]["E"] - before[0]["E"] for before, after in pairwise(of(view, "!ticker@arr"))]
    assert 1_000 in changes
    assert {change % 1_000 for change in changes} == {0}


@pytest.mark.parametrize("name", ["mark", "index"])
def test_klines_of_mark_and_index_hold_what_the_stream_said(view: View, name: str) -> None:
    sent = {"symbol" if name == "mark" else "pair": "BTCUSDT", "interval": "1m", "limit": "3"}
    rows = view.get(f"/fapi/v1/{name}PriceKlines", **sent)
    field = "p" if name == "mark" else "i"
    marks = of(view, "btcusdt@markPrice@1s")
    held = [
        float(row[3]) <= float(mark[field]) <= float(row[2])
        for row in rows
        for mark in marks
        if row[0] <= mark["E"] <= row[6]
    ]
    assert len(held) >= 50
    assert all(held)
    assert all(float(row[3]) <= min(float(row[1]), float(row[4])) for row in rows)


def test_klines_of_the_premium(view: View) -> None:
    rows = view.get("/fapi/v1/premiumIndexKlines", symbol="BTCUSDT", interval="1m", limit="20")
    assert len(rows) == 20
    for row in rows:
        opened, high, low, close = map(float, row[1:5])
        assert low <= min(opened, close) <= max(opened, close) <= high
        assert -3e-4 < low <= high < 3e-4
    assert len({row[2] for row in rows}) > 1


@pytest.mark.parametrize(
    "path", ["topLongShortAccountRatio", "topLongShortPositionRatio", "globalLongShortAccountRatio"]
)
def test_ratios_of_accounts(view: View, path: str) -> None:
    rows = view.get(f"/futures/data/{path}", symbol="BTCUSDT", period="5m")
    assert len(rows) in {29, 30}
    for row in rows:
        assert float(row["longAccount"]) + float(row["shortAccount"]) == pytest.approx(1)
        assert row["timestamp"] % 300_000 == 0
    assert rows == view.get(f"/futures/data/{path}", symbol="BTCUSDT", period="5m")


def test_volumes_of_takers_and_basis(view: View) -> None:
    (row,) = view.get("/futures/data/takerlongshortRatio", symbol="BTCUSDT", period="1h", limit="2")[-1:]
    (kline,) = view.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1h", startTime=str(row["timestamp"]), limit="1")
    assert float(row["buyVol"]) == pytest.approx(float(kline[9]), abs=1e-4)
    assert float(row["buyVol"]) + float(row["sellVol"]) == pytest.approx(float(kline[5]), abs=2e-4)
    sent = {"pair": "BTCUSDT", "contractType": "PERPETUAL", "period": "1h", "limit": "2"}
    (basis,) = view.get("/futures/data/basis", **sent)[-1:]
    assert float(basis["futuresPrice"]) - float(basis["indexPrice"]) == pytest.approx(float(basis["basis"]), abs=1e-6)


@pytest.mark.parametrize(
    ("path", "sent", "code"),
    [
        ("/fapi/v1/markPriceKlines", {"symbol": "BTCUSDT"}, -1102),
        ("/fapi/v1/indexPriceKlines", {"pair": "NOSUCH", "interval": "1m"}, -1121),
        ("/futures/data/basis", {"pair": "BTCUSDT", "period": "1h"}, -1102),
        ("/futures/data/takerlongshortRatio", {"symbol": "BTCUSDT", "period": "7m"}, -1130),
    ],
)
def test_what_is_refused_of_data(view: View, path: str, sent: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        view.get(path, **sent)
    assert refused.value.code == code
