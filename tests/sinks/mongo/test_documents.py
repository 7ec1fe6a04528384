from math import inf, isnan, nan
from typing import Any

import bson
import msgspec
import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import IndexModel

from flows.model import DAY_MS
from sinks.mongo.documents import (
    INCIDENTS,
    INDEXES,
    MARKET_DATA,
    MARKET_STATS,
    candle_document,
    candle_faults,
    candle_of,
    incident_document,
    incident_of,
    stats_document,
)
from tests.fakes.candles import BEGIN, candle, gap, stats

NOW = BEGIN + 61_000
DAYS = {"1m": 7, "5m": 30, "15m": 90, "1h": 365, "4h": 730}


def document(**changes: Any) -> dict[str, Any]:
    return candle_document(candle(**changes), now_ms=NOW, retention_days=DAYS)


def test_every_field_of_a_candle() -> None:
    assert document() == {
        "venue": "binance",
        "symbol": "BTCUSDT",
        "timeframe": "1m",
        "open_time": BEGIN,
        "close_time": BEGIN + 59_999,
        "open": 100.0,
        "high": 101.5,
        "low": 99.25,
        "close": 101.0,
        "volume": 12.5,
        "quote_volume": 1_255.125,
        "trades": 42,
        "taker_buy_volume": 7.5,
        "taker_buy_quote_volume": 752.75,
        "is_closed": True,
        "status": "final",
        "revision": 0,
        "proof": "",
        "first_id": 1_000,
        "last_id": 1_041,
        "created_at": DatetimeMS(NOW),
        "updated_at": DatetimeMS(NOW),
        "expires_at": DatetimeMS(BEGIN + 59_999 + 7 * DAY_MS),
    }


@pytest.mark.parametrize(
    ("timeframe", "length_ms", "days"),
    [("5m", 300_000, 30), ("15m", 900_000, 90), ("1h", 3_600_000, 365), ("4h", 14_400_000, 730)],
)
def test_a_candle_expires_so_many_days_after_its_own_close(timeframe: str, length_ms: int, days: int) -> None:
    made = document(timeframe=timeframe)
    assert made["close_time"] == BEGIN + length_ms - 1
    assert made["expires_at"] == DatetimeMS(BEGIN + length_ms - 1 + days * DAY_MS)


def test_a_timeframe_without_retention_never_expires() -> None:
    assert document(timeframe="1d")["expires_at"] is None
    assert candle_document(candle(), now_ms=NOW, retention_days={})["expires_at"] is None


def test_a_candle_comes_back_without_its_event_time() -> None:
    assert candle_of(document()) == candle(event_time=0)


def test_every_field_of_an_incident() -> None:
    made = incident_document(gap(), now_ms=NOW)
    identity = made.pop("_id")
    assert identity.startswith(f"gap:binance:BTCUSDT:{BEGIN}:")
    assert made == {
        "kind": "gap",
        "venue": "binance",
        "symbol": "BTCUSDT",
        "begin": BEGIN,
        "end": BEGIN + 250,
        "cause": "ids missing",
        "outcome": "asked for",
        "first_id": 7,
        "last_id": 9,
        "created_at": DatetimeMS(NOW),
    }


def test_an_incident_is_known_by_what_it_says() -> None:
    def identity(now_ms: int, **changes: Any) -> Any:
        return incident_document(gap(**changes), now_ms=now_ms)["_id"]

    assert identity(NOW) == identity(NOW + 1)
    changed: list[dict[str, Any]] = [{"outcome": "repaired"}, {"first_id": 8}, {"end": BEGIN}, {"symbol": "ETHUSDT"}]
    assert len({identity(NOW), *(identity(NOW, **changes) for changes in changed)}) == 5


def test_every_field_of_statistics() -> None:
    assert stats_document(stats(2, seconds=7), now_ms=NOW, retention_days={"1m": 7}) == {
        "venue": "binance",
        "symbol": "BTCUSDT",
        "minute": BEGIN + 120_000,
        "time": BEGIN + 127_000,
        "open_time": BEGIN + 120_000 - DAY_MS,
        "open": 100.0,
        "high": 110.0,
        "low": 90.0,
        "last": 105.0,
        "volume": 2_000.0,
        "quote_volume": 201_000.0,
        "change": 5.0,
        "change_percent": 5.0,
        "weighted_average": 100.5,
        "trades": 12_345,
        "complete": True,
        "updated_at": DatetimeMS(NOW),
        "expires_at": DatetimeMS(BEGIN + 127_000 + 7 * DAY_MS),
    }
    assert stats_document(stats(), now_ms=NOW, retention_days={})["expires_at"] is None


def test_the_indexes() -> None:
    def described(indexes: tuple[IndexModel, ...]) -> list[dict[str, Any]]:
        return [{**index.document, "key": list(index.document["key"].items())} for index in indexes]

    assert described(INDEXES[MARKET_DATA]) == [
        {"key": [("venue", 1), ("symbol", 1), ("timeframe", 1), ("open_time", 1)], "name": "candle", "unique": True},
        {"key": [("symbol", 1), ("timeframe", 1), ("open_time", -1)], "name": "newest"},
        {"key": [("symbol", 1), ("timeframe", 1), ("open_time", 1), ("close_time", 1)], "name": "span"},
        {"key": [("expires_at", 1)], "name": "expiry", "expireAfterSeconds": 0},
    ]
    assert described(INDEXES[MARKET_STATS]) == [
        {"key": [("venue", 1), ("symbol", 1), ("minute", -1)], "name": "minute", "unique": True},
        {"key": [("expires_at", 1)], "name": "expiry", "expireAfterSeconds": 0},
    ]
    assert described(INDEXES[INCIDENTS]) == [
        {"key": [("venue", 1), ("symbol", 1), ("begin", 1)], "name": "place"},
        {"key": [("kind", 1)], "name": "kind"},
    ]


def test_all_of_an_incident_is_kept() -> None:
    assert set(incident_document(gap(), now_ms=NOW)) >= set(msgspec.structs.asdict(gap()))


def test_a_venue_s_own_candle_may_lack_what_the_venue_does_not_state() -> None:
    unsaid = dict.fromkeys(("quote_volume", "taker_buy_volume", "taker_buy_quote_volume"), nan)
    read = candle_of(bson.decode(bson.encode(document(**unsaid, trades=-1, status="venue"))))
    assert read.volume == 12.5
    assert read.trades == -1
    assert all(isnan(getattr(read, name)) for name in unsaid)
    assert msgspec.json.decode(msgspec.json.encode(read))["quote_volume"] is None
    for name, value in (("volume", nan), ("close", nan), ("quote_volume", inf), ("quote_volume", None)):
        assert candle_faults(document(status="venue") | {name: value}) == [f"{name} {value!r}"]


@pytest.mark.parametrize("name", ["quote_volume", "taker_buy_volume", "taker_buy_quote_volume"])
@pytest.mark.parametrize("status", ["forming", "final", "repaired", "partial", "unproven"])
def test_a_candle_made_of_trades_lacks_no_figure(name: str, status: str) -> None:
    assert candle_faults(document(status=status) | {name: nan}) == [f"{name} nan"]


def test_what_is_read_back_can_be_encoded() -> None:
    stored = bson.decode(bson.encode(document(first_id=5_000_000_000, last_id=5_000_000_007)))
    read = candle_of(stored)
    assert msgspec.json.decode(msgspec.json.encode(read), type=type(read)) == read
    incident = incident_of(bson.decode(bson.encode(incident_document(gap(first_id=5_000_000_000), now_ms=NOW))))
    assert incident == gap(first_id=5_000_000_000)
    assert msgspec.json.decode(msgspec.json.encode(incident), type=type(incident)) == incident
