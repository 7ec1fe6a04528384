from typing import Any

import pytest

from api.live.messages import HubMessage
from api.live.state import VenueState
from api.state_metrics import ClosedCandles, state_metrics
from flows.model import ChannelState
from sinks.hub.payloads import CandleBody, ChannelBody, InstrumentBody, StatusBody
from tests.fakes.candles import BEGIN, candle, forming

MINUTE = 60_000


def message(body: Any, channel: str = "Candle") -> HubMessage:
    return HubMessage("binance", channel, body, BEGIN, 1)


def venue_of(**states: ChannelState) -> VenueState:
    """A flow that is alive, at a minute and a half after `BEGIN`, with these states by symbol."""
    found = VenueState("binance")
    found.clock.on_heartbeat(BEGIN + MINUTE + 30_000)
    for symbol, word in states.items():
        channels = [ChannelBody("trades", word, None, ""), ChannelBody("book", "unsynced", None, "")]
        found.take(message(InstrumentBody("binance", "live", symbol, word, None, "", channels), "Status"))
    for line, symbols in (("market", tuple(states)), ("public", tuple(states)[:1])):
        found.take(message(StatusBody("binance", "live", line, "live", symbols, ""), "Status"))
    return found


def values(venue_state: VenueState, closed: ClosedCandles | None = None) -> dict[tuple[str, ...], float]:
    """Samples by name and values of labels, in their order."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in state_metrics([venue_state], closed or ClosedCandles())
        for sample in family.samples
    }


def test_states_are_told_by_instrument_and_by_channel() -> None:
    assert values(venue_of(BTCUSDT="live", ETHUSDT="silent")) == {
        ("market_data_flow_alive", "binance"): 1,
        ("market_data_instrument_state", "binance", "market", "BTCUSDT", "live"): 1,
        ("market_data_instrument_state", "binance", "public", "BTCUSDT", "live"): 1,
        ("market_data_instrument_state", "binance", "market", "ETHUSDT", "silent"): 1,
        ("market_data_channels", "binance", "trades", "live"): 1,
        ("market_data_channels", "binance", "trades", "silent"): 1,
        ("market_data_channels", "binance", "book", "unsynced"): 2,
    }


def test_a_flow_without_a_sign_of_life_is_unknown_with_all_that_it_said() -> None:
    venue_state = venue_of(BTCUSDT="live")
    venue_state.is_connected = False
    found = values(venue_state)
    assert found["market_data_flow_alive", "binance"] == 0
    assert found["market_data_instrument_state", "binance", "market", "BTCUSDT", "unknown"] == 1
    assert found["market_data_channels", "binance", "book", "unknown"] == 1
    assert not [name for name in found if "live" in name or "unsynced" in name]


@pytest.mark.parametrize(("word", "late"), [("live", 30.0), ("quiet", 30.0), ("silent", None), ("cut", None)])
def test_a_candle_is_late_where_its_data_is_current(word: ChannelState, late: float | None) -> None:
    closed = ClosedCandles()
    closed.take(message(CandleBody.of(candle(-1))))
    found = values(venue_of(BTCUSDT=word), closed).get(("market_data_candle_late_seconds", "binance", "BTCUSDT"))
    assert found == (late and pytest.approx(late, abs=5))


def test_the_shortest_timeframe_counts_and_only_what_has_closed() -> None:
    closed = ClosedCandles()
    closed.take(message(CandleBody.of(forming(5))))
    assert closed.late_ms("binance", "BTCUSDT", BEGIN) is None
    closed.take(message(CandleBody.of(candle(0))))
    closed.take(message(CandleBody.of(candle(-3))))  # an amendment of an older one
    assert closed.late_ms("binance", "BTCUSDT", BEGIN + MINUTE + 59_000) == 0
    assert closed.late_ms("binance", "BTCUSDT", BEGIN + 2 * MINUTE + 7_000) == 7_000
    closed.forget_others([("binance", "ETHUSDT")])
    assert closed.late_ms("binance", "BTCUSDT", BEGIN) is None
