"""Metrics of the live view's messages and the server's responses."""

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


class Watched:
    """A live view that gets events of the test, and its metrics."""

    def __init__(self) -> None:
        self.live = LiveView(URL)
        self.metrics = ApiMetrics(self.live)

    def receive(self, *events: LiveEvent) -> None:
        for event in events:
            self.live._on_event(event)

    def value(self, *sample: str) -> float | None:
        return samples(self.metrics.text()[0].decode()).get(sample)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def price(*, made_ms: int, symbol: str = "BTCUSDT", amount: float = 1.0, time: int = BEGIN) -> HubMessage:
    """A price of the exchange's time `time`."""
    body = MarketDataBody.of(MarketData("binance", symbol, amount, time))
    return HubMessage("binance", "MarketData", body, made_ms, 1)


def test_the_latency_counts_channels_without_delay(watched: Watched) -> None:
    late_candle = HubMessage("binance", "Candle", CandleBody.of(candle()), BEGIN + 90_000, 2)
    watched.receive(price(made_ms=BEGIN + 250), price(made_ms=BEGIN + 500, symbol="ETHUSDT"), late_candle)
    watched.receive(price(made_ms=BEGIN + 90_000))  # with new figures of the day
    assert (watched.value(f"{LATENCY}_count", "binance"), watched.value(f"{LATENCY}_sum", "binance")) == (2.0, 0.75)


def test_a_price_that_came_again_is_not_as_late_as_the_figures_that_bring_it(watched: Watched) -> None:
    watched.receive(price(made_ms=BEGIN + 250))
    watched.receive(price(made_ms=BEGIN + 60_000, time=BEGIN + 1_000))  # the exchange was silent for 59 s
    watched.receive(price(made_ms=BEGIN + 61_500, time=BEGIN + 61_000, amount=2.0))
    assert (watched.value(f"{LATENCY}_count", "binance"), watched.value(f"{LATENCY}_sum", "binance")) == (2.0, 0.75)


def test_a_clock_that_is_behind_makes_no_latency_below_zero(watched: Watched) -> None:
    watched.receive(price(made_ms=BEGIN - 250))
    assert (watched.value(f"{LATENCY}_count", "binance"), watched.value(f"{LATENCY}_sum", "binance")) == (1.0, 0.0)


def test_incidents_are_counted_by_kind_and_losses_by_message(watched: Watched) -> None:
    kinds = ("gap", "gap", "late")
    watched.receive(*(HubMessage("binance", "Incident", IncidentBody.of(gap(kind=kind)), BEGIN, 3) for kind in kinds))
    watched.receive(Lost(URL, 12), Lost(URL, 3))
    found = [watched.value("market_data_incidents_total", kind, "binance") for kind in ("gap", "late", "reject")]
    assert (found, watched.value("market_data_live_lost_total")) == ([2.0, 1.0, None], 15.0)


def test_who_accepts_openmetrics_gets_them(watched: Watched) -> None:
    body, content_type = watched.metrics.text("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    for accept in ("", "*/*", "text/plain;version=0.0.4"):
        body, content_type = watched.metrics.text(accept)
        assert content_type.startswith("text/plain")
        assert b"# EOF" not in body


def test_only_failures_of_the_server_are_errors(watched: Watched) -> None:
    for status, seconds in ((200, 0.5), (404, 0.25), (499, 0.0), (500, 1.0), (503, 0.25)):
        watched.metrics.on_answer("/api/prices", status, seconds)
    assert watched.value("market_data_errors_total") == 2.0
    assert watched.value("market_data_api_answers_total", "/api/prices", "404") == 1.0
    assert watched.value("market_data_api_seconds_sum", "/api/prices") == 2.0


def test_counts_of_other_objects_are_read_at_scrape_time(watched: Watched) -> None:
    assert (watched.value("market_data_cache_size"), watched.value("market_data_hub_up", URL)) == (0.0, 0.0)
    (connection,) = watched.live.connections
    connection.state.connected, connection.state.reconnections = True, 4
    connection.venue_state.venue = "binance"
    connection.venue_state.take(price(made_ms=BEGIN))
    watched.receive(HubMessage("binance", "Candle", CandleBody.of(candle()), BEGIN, 2))
    watched.live.candles.counters.hits, watched.live.candles.counters.misses = 7, 2
    watched.metrics.completeness["binance", "BTCUSDT"] = 0.75
    assert watched.value("market_data_cache_size") == 1.0
    assert watched.value("market_data_cache_hits_total") == 7.0
    assert watched.value("market_data_cache_misses_total") == 2.0
    assert watched.value("market_data_hub_up", URL) == 1.0
    assert watched.value("market_data_reconnections_total", URL) == 4.0
    assert watched.value("market_data_updates_total", "MarketData", "binance") == 1.0
    assert watched.value("market_data_completeness", "BTCUSDT", "binance") == 0.75


def test_each_view_is_counted_for_itself(watched: Watched) -> None:
    other = Watched()
    other.receive(Lost(URL, 5))
    assert [one.value("market_data_live_lost_total") for one in (watched, other)] == [0.0, 5.0]
