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
    played.play("btcusdt@markPrice@1s", "btcusdt@markPrice", "btcusdt@forceOrder")
    return played


def of(view: View, stream: str) -> list[dict[str, Any]]:
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
    frames = [b'{"stream":"%b","data":%b}' % (message.stream.encode(), message.data) for message in view.messages]
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
