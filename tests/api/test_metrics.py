"""What Prometheus reads of what the live view hears and the server answers."""

import pytest

from api.live.hub_protocol import Lost
from api.live.messages import HubMessage
from api.live.view import LiveEvent, LiveView
from api.metrics import ApiMetrics
from flows.model import MarketData
from sinks.hub.payloads import CandleBody, IncidentBody, MarketDataBody
from tests.fakes.candles import BEGIN, candle, gap
from tests.fakes.exposition import samples

URL = "ws://127.0.0.1:1/ws"
LATENCY = "market_data_exchange_to_broadcast_seconds"


class Looked:
    """A live view that is told by the test, and what is counted of it."""

    def __init__(self) -> None:
        self.live = LiveView(URL)
        self.meters = ApiMetrics(self.live)

    def hear(self, *events: LiveEvent) -> None:
        for event in events:
            self.live._on_event(event)

    def value(self, *sample: str) -> float | None:
        return samples(self.meters.text().decode()).get(sample)


@pytest.fixture
def looked() -> Looked:
    return Looked()


def price(*, made_ms: int, symbol: str = "BTCUSDT") -> HubMessage:
    """Of the exchange's time `BEGIN`."""
    return HubMessage("binance", "MarketData", MarketDataBody.of(MarketData("binance", symbol, 1.0, BEGIN)), made_ms, 1)


def test_the_latency_is_that_of_news_which_wait_for_nothing(looked: Looked) -> None:
    late_candle = HubMessage("binance", "Candle", CandleBody.of(candle()), BEGIN + 90_000, 2)
    looked.hear(price(made_ms=BEGIN + 250), price(made_ms=BEGIN + 500, symbol="ETHUSDT"), late_candle)
    looked.hear(price(made_ms=BEGIN + 90_000))  # with new figures of the day
    assert (looked.value(f"{LATENCY}_count"), looked.value(f"{LATENCY}_sum")) == (2.0, 0.75)


def test_a_clock_that_is_behind_makes_no_latency_below_zero(looked: Looked) -> None:
    looked.hear(price(made_ms=BEGIN - 250))
    assert (looked.value(f"{LATENCY}_count"), looked.value(f"{LATENCY}_sum")) == (1.0, 0.0)


def test_incidents_are_counted_by_kind_and_losses_by_message(looked: Looked) -> None:
    kinds = ("gap", "gap", "late")
    looked.hear(*(HubMessage("binance", "Incident", IncidentBody.of(gap(kind=kind)), BEGIN, 3) for kind in kinds))
    looked.hear(Lost(URL, 12), Lost(URL, 3))
    found = [looked.value("market_data_incidents_total", kind, "binance") for kind in ("gap", "late", "reject")]
    assert (found, looked.value("market_data_live_lost_total")) == ([2.0, 1.0, None], 15.0)


def test_only_failures_of_the_server_are_errors(looked: Looked) -> None:
    for status, seconds in ((200, 0.5), (404, 0.25), (499, 0.0), (500, 1.0), (503, 0.25)):
        looked.meters.on_answer("/api/prices", status, seconds)
    assert looked.value("market_data_errors_total") == 2.0
    assert looked.value("market_data_api_answers_total", "/api/prices", "404") == 1.0
    assert looked.value("market_data_api_seconds_sum", "/api/prices") == 2.0


def test_what_others_count_is_read_when_somebody_looks(looked: Looked) -> None:
    assert (looked.value("market_data_cache_size"), looked.value("market_data_hub_up", URL)) == (0.0, 0.0)
    (line,) = looked.live.connections
    line.state.connected, line.state.reconnections = True, 4
    line.venue_state.venue = "binance"
    line.venue_state.take(price(made_ms=BEGIN))
    looked.hear(HubMessage("binance", "Candle", CandleBody.of(candle()), BEGIN, 2))
    looked.live.candles.counters.hits, looked.live.candles.counters.misses = 7, 2
    looked.meters.completeness["binance", "BTCUSDT"] = 0.75
    assert looked.value("market_data_cache_size") == 1.0
    assert looked.value("market_data_cache_hits_total") == 7.0
    assert looked.value("market_data_cache_misses_total") == 2.0
    assert looked.value("market_data_hub_up", URL) == 1.0
    assert looked.value("market_data_reconnections_total", URL) == 4.0
    assert looked.value("market_data_updates_total", "MarketData", "binance") == 1.0
    assert looked.value("market_data_completeness", "BTCUSDT", "binance") == 0.75


def test_each_view_is_counted_for_itself(looked: Looked) -> None:
    other = Looked()
    other.hear(Lost(URL, 5))
    assert [one.value("market_data_live_lost_total") for one in (looked, other)] == [0.0, 5.0]
