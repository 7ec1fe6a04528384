"""The state of an instrument is that of its own venue."""

from typing import Any

from api.mcp.replies import describe, is_stale, state_of, with_dates
from flows.model import Instrument
from tests.fakes.candles import BEGIN


def instrument(venue: str, state: str, reason: str) -> dict[str, Any]:
    since = f"2026-01-01T00:00:0{len(venue)}Z"
    return {"venue": venue, "symbol": "BTC-USD", "state": state, "since": since, "reason": reason, "channels": []}


STATUS = {"instruments": [instrument("kraken", "live", ""), instrument("coinbase", "cut", "the line is down")]}


def test_equal_symbols_of_two_venues_are_apart() -> None:
    kraken, coinbase, other = (
        Instrument("kraken", "btc-usd"),
        Instrument("coinbase", "BTC-USD"),
        Instrument("binance", "BTC-USD"),
    )
    assert [state_of(STATUS, one) for one in (kraken, coinbase, other)] == [
        "live since 2026-01-01T00:00:06Z", "cut since 2026-01-01T00:00:08Z: the line is down", None,
    ]  # fmt: skip
    assert [is_stale(STATUS, one) for one in (kraken, coinbase, other)] == [False, True, None]
    assert describe(STATUS, kraken, "cut") == "cut"
    assert describe(STATUS, other, None) is None


def test_agents_read_times_as_text() -> None:
    candle = {"timestamp": BEGIN, "open": 1.0, "trades": 7}
    data = {"timestamps": [BEGIN, BEGIN + 250], "candles": [candle], "funding": {"next_time": None, "time": BEGIN}}
    assert with_dates(data) == {
        "timestamps": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.250Z"],
        "candles": [{"timestamp": "2026-01-01T00:00:00Z", "open": 1.0, "trades": 7}],
        "funding": {"next_time": None, "time": "2026-01-01T00:00:00Z"},
    }
