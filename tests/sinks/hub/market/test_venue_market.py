"""Two venues in one hub, with the same symbol: what concerns one changes nothing of the other."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from flows.clock import Now
from flows.model import (
    BookTicker,
    BookView,
    FeedStatus,
    Heartbeat,
    Incident,
    InstrumentStatus,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Publishable,
    Trade,
    TradeBatch,
    VenueItems,
)
from flows.model import MarketData as Price
from flows.settings import Hub as HubSettings
from sinks.hub.client import Client
from sinks.hub.messages import CHANNELS
from sinks.hub.policy import Hub
from sinks.hub.rights import MARKET_AND_ACCOUNT
from sinks.hub.subscription import DEFAULT, Rule, Subscription
from tests.fakes.alerts import alert
from tests.fakes.candles import candle, stats, ticker_of_ones

BEGIN = 1_767_225_600_000
AHEAD_MS = 7_000
"""How far the clock of the second venue is ahead of the first one's."""
SPOT, USDM = "binance", "binance-usdm"
SYMBOL = "BTCUSDT"
ALL = Subscription((Rule(wanted=True, channels=frozenset(CHANNELS)),), MARKET_AND_ACCOUNT)


class Line:
    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def write_frames(self, frames: bytes) -> bool:
        reader = StreamReader()
        reader.feed_data(frames)
        while reader.buffer:
            parsing = Frame.parse(reader.read_exact, mask=False)
            try:
                next(parsing)
            except StopIteration as done:
                self.heard.append(json.loads(done.value.data))
        return True

    def begin_close(self, code: int, reason: str) -> None:
        raise AssertionError(reason)

    def of(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """The data of the messages of a kind, by venue."""
        return [(one["data"]["venue"], one["data"]) for one in self.heard if one["type"] == kind]


class Deployed:
    """A hub of two venues, each with its own time."""

    def __init__(self, **settings: Any) -> None:
        self.hub = Hub(HubSettings(**settings), origins={SPOT: "live", USDM: "replay"}, first_seq=1_000)
        self.local = 0

    def now(self, venue: str = SPOT) -> Now:
        return Now(BEGIN + self.local + (AHEAD_MS if venue == USDM else 0), self.local)

    def at(self, local_ms: int, venue: str, *items: Publishable) -> None:
        self.local = local_ms
        self.hub.publish(VenueItems(venue, list(items)), self.now(venue))
        for one in (SPOT, USDM):
            self.hub.on_time(self.now(one), one)
        self.hub.flush(self.now())

    def join(self, line: Line, subscription: Subscription = ALL, resume_after: int | None = None) -> Client:
        return self.hub.join(line, self.now(), encoding="json", subscription=subscription, resume_after=resume_after)

    def snapshot(self, request: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        line = Line()
        client = self.join(line)
        payload = {"op": "subscribe", "channels": list(CHANNELS)} | (request or {})
        self.hub.on_request(client, json.dumps(payload), self.now())
        self.hub.leave(client)
        return [one for part in line.heard if part["type"] == "Snapshot" for one in part["data"]["messages"]]


def everything(venue: str, value: float) -> list[Publishable]:
    """One item of every channel about the same symbol."""
    status = FeedStatus(venue, "market", "live", (SYMBOL,))
    return [
        status,
        Heartbeat(venue, BEGIN),
        InstrumentStatus(venue, SYMBOL, "live", BEGIN, "", ()),
        Price(venue, SYMBOL, value, BEGIN),
        candle(close=value, venue=venue),
        TradeBatch(venue, SYMBOL, [Trade(SYMBOL, 1, BEGIN, value, 1.0, False, BEGIN)]),
        ticker_of_ones(last_price=value),
        BookTicker(SYMBOL, 1, value, 1.0, value, 1.0, BEGIN),
        BookView(venue, SYMBOL, True, 1, BEGIN, [(value, 1.0)], [(value, 1.0)]),
        stats(venue=venue, last=value),
        MarkPrice(SYMBOL, BEGIN, value, value, venue=venue),
        OpenInterest(venue, SYMBOL, BEGIN, value),
        Liquidation(SYMBOL, BEGIN, BEGIN, "SELL", value, value, 1.0, 1.0, venue=venue),
        Incident("gap", venue, SYMBOL, BEGIN, BEGIN, ""),
        alert(symbol=SYMBOL, venue=venue, price=value),
    ]


def value_of(message: dict[str, Any]) -> float | None:
    """The figure of a message that `everything` made different."""
    data = message["data"]
    figure: dict[str, Callable[[], float]] = {
        "MarketData": lambda: data["price"],
        "Candle": lambda: data["candle"]["close"],
        "ChartUpdate": lambda: data["candle"]["close"],
        "Trade": lambda: data["trades"][0]["price"],
        "Ticker": lambda: data["last_price"],
        "BookTicker": lambda: data["bid_price"],
        "OrderBook": lambda: data["bids"][0][0],
        "Stats": lambda: data["last"],
        "MarkPrice": lambda: data["mark_price"],
        "OpenInterest": lambda: data["quantity"],
        "Liquidation": lambda: data["price"],
        "Alert": lambda: data["seen"]["price"],
    }
    read = figure.get(message["type"])
    return read() if read else None


VALUES = {SPOT: 1.0, USDM: 2.0}
CARRIED = {
    "MarketData", "Candle", "ChartUpdate", "Trade", "Ticker", "BookTicker", "OrderBook", "Stats", "MarkPrice",
    "OpenInterest", "Liquidation", "Status", "Incident", "Alert",
}  # fmt: skip


def test_every_message_names_its_venue_and_has_its_values() -> None:
    deployed, line = Deployed(), Line()
    deployed.join(line)
    for venue, value in VALUES.items():
        deployed.at(0, venue, *everything(venue, value))
    for venue, value in VALUES.items():
        own = [message for message in line.heard if message["data"]["venue"] == venue]
        assert {message["type"] for message in own} == CARRIED
        assert {value_of(message) for message in own} == {value, None}
    assert len(line.heard) == len({message["seq"] for message in line.heard})


def test_a_snapshot_has_the_state_of_both_and_of_one_on_request() -> None:
    deployed = Deployed()
    for venue, value in VALUES.items():
        deployed.at(0, venue, *everything(venue, value))
    both = deployed.snapshot()
    for venue, value in VALUES.items():
        own = deployed.snapshot({"venues": [venue]})
        assert own == [message for message in both if message["data"]["venue"] == venue]
        assert {message["type"] for message in own} == CARRIED - {"Trade", "Incident", "Alert"}
        assert {value_of(message) for message in own} == {value, None}


def test_a_filter_of_venues_lets_only_those_through_until_it_is_taken_back() -> None:
    deployed, line = Deployed(), Line()
    client = deployed.join(line, DEFAULT)
    request = {"op": "subscribe", "channels": ["MarketData", "Status"], "venues": [USDM]}
    deployed.hub.on_request(client, json.dumps(request), deployed.now())
    answer = line.heard[0]["data"]
    assert (answer["venues"], answer["origins"]) == ([USDM], {SPOT: "live", USDM: "replay"})
    for venue, value in VALUES.items():
        deployed.at(0, venue, Price(venue, SYMBOL, value, BEGIN), Heartbeat(venue, BEGIN))
    assert [(venue, data["price"]) for venue, data in line.of("MarketData")] == [(USDM, 2.0)]
    assert [venue for venue, _ in line.of("Status")] == [USDM]
    deployed.hub.on_request(client, json.dumps(request | {"op": "unsubscribe"}), deployed.now())
    deployed.at(1_000, USDM, Price(USDM, SYMBOL, 3.0, BEGIN))
    assert len(line.of("MarketData")) == 1


def test_the_rate_of_prices_is_that_of_each_venue() -> None:
    deployed, line = Deployed(rate=10), Line()
    deployed.join(line)
    deployed.at(0, SPOT, Price(SPOT, SYMBOL, 1.0, BEGIN), Price(SPOT, SYMBOL, 1.5, BEGIN))
    deployed.at(1, USDM, Price(USDM, SYMBOL, 2.0, BEGIN))
    assert [(venue, data["price"]) for venue, data in line.of("MarketData")] == [(SPOT, 1.0), (USDM, 2.0)]
    deployed.at(100, USDM)
    assert [(venue, data["price"]) for venue, data in line.of("MarketData")][2:] == [(SPOT, 1.5)]


def test_what_was_held_is_stamped_by_the_clock_of_its_venue() -> None:
    deployed, line = Deployed(rate=10), Line()
    deployed.join(line)
    for venue in VALUES:
        deployed.at(0, venue, Price(venue, SYMBOL, 1.0, BEGIN), Price(venue, SYMBOL, 1.5, BEGIN))
    deployed.at(200, SPOT)
    stamps = {one["data"]["venue"]: one["timestamp"] for one in line.heard if one["data"].get("price") == 1.5}
    assert stamps == {SPOT: "2026-01-01T00:00:00.200Z", USDM: "2026-01-01T00:00:07.200Z"}


def test_statistics_and_prices_of_one_are_not_mixed_with_those_of_the_other() -> None:
    deployed, line = Deployed(), Line()
    deployed.join(line)
    for venue, value in VALUES.items():
        deployed.at(0, venue, Price(venue, SYMBOL, value, BEGIN))
    deployed.at(100, USDM, stats(venue=USDM, change=9.0))
    shown = [(venue, data["price"], data["price_change_24h"]) for venue, data in line.of("MarketData")]
    assert shown[2:] == [(USDM, 2.0, 9.0)]
    deployed.at(200, SPOT, candle(venue=SPOT))
    [(venue, chart)] = line.of("ChartUpdate")
    assert (venue, chart["latest_price"], chart["price_change_24h"]) == (SPOT, 1.0, None)


def test_a_symbol_removed_at_one_venue_stays_at_the_other() -> None:
    deployed, line = Deployed(), Line()
    deployed.join(line)
    for venue, value in VALUES.items():
        deployed.at(0, venue, *everything(venue, value))
    deployed.at(10, SPOT, FeedStatus(SPOT, "market", "removed", (SYMBOL,)))
    left = [message for message in deployed.snapshot() if message["data"].get("symbol")]
    assert {message["data"]["venue"] for message in left} == {USDM}
    for venue, value in VALUES.items():
        deployed.at(1_000, venue, Price(venue, SYMBOL, value + 10, BEGIN), alert(2, symbol=SYMBOL, venue=venue))
    assert [venue for venue, data in line.of("MarketData") if data["price"] > 10] == [USDM]
    assert [venue for venue, data in line.of("Alert") if data["id"].startswith("high-2")] == [SPOT, USDM]


@pytest.mark.parametrize("wanted", [None, frozenset([USDM])])
def test_a_client_that_resumes_gets_what_it_missed_of_its_venues(wanted: frozenset[str] | None) -> None:
    deployed, line = Deployed(), Line()
    for number in range(3):
        for venue, value in VALUES.items():
            deployed.at(100 * number, venue, Price(venue, SYMBOL, value + number, BEGIN))
    subscription = Subscription((Rule(wanted=True, channels=frozenset(["MarketData"]), venues=wanted),))
    deployed.join(line, subscription, resume_after=1_002)
    missed = [(SPOT, 2.0), (USDM, 3.0), (SPOT, 3.0), (USDM, 4.0)]
    found = [(venue, data["price"]) for venue, data in line.of("MarketData")]
    assert found == [one for one in missed if wanted is None or one[0] in wanted]


def test_items_that_name_their_venue_need_no_other_word_of_it() -> None:
    deployed, line = Deployed(), Line()
    deployed.join(line)
    items = [Incident("gap", venue, SYMBOL, BEGIN, BEGIN, "") for venue in (USDM, SPOT)]
    deployed.hub.publish(items, deployed.now())
    deployed.hub.flush(deployed.now())
    assert [venue for venue, _ in line.of("Incident")] == [USDM, SPOT]


def test_each_venue_has_an_origin_of_its_own() -> None:
    deployed, line = Deployed(), Line()
    deployed.join(line)
    for venue in VALUES:
        deployed.at(0, venue, FeedStatus(venue, "market", "live", (SYMBOL,)), Heartbeat(venue, BEGIN))
    assert {(venue, data["origin"]) for venue, data in line.of("Status")} == {(SPOT, "live"), (USDM, "replay")}
