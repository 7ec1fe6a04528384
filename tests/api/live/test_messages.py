"""Decoding of the hub's frames."""

import time
from collections.abc import Iterator
from math import isnan, nan
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from api.live.messages import (
    BODIES,
    HubMessage,
    IncomingMessage,
    SnapshotPart,
    candle_of,
    decode,
    decode_body,
    decode_snapshot,
    ms_of,
)
from sinks.hub.messages import CHANNELS
from sinks.hub.payloads import CandleBody, StatsBody, iso_utc
from tests.fakes.candles import BEGIN, candle, forming, stats, versions

PRICE = b'{"symbol":"BTCUSDT","price":1.5,"price_change_24h":null,"price_change_percent_24h":null,"volume_24h":null'


def raw(text: bytes) -> msgspec.Raw:
    return msgspec.Raw(text)


def message(body: Any) -> HubMessage:
    return HubMessage("binance", "Anything", body, BEGIN, 1)


def test_every_channel_of_the_hub_has_its_shape() -> None:
    assert set(CHANNELS) <= BODIES.keys()


def test_a_frame_is_text_or_bytes_and_needs_only_its_type() -> None:
    assert decode('{"type":"Reset"}') == decode(b'{"type":"Reset"}') == IncomingMessage("Reset")
    assert decode('{"type":"Lagged","dropped":7,"more":1}') == IncomingMessage("Lagged", dropped=7)


@pytest.mark.parametrize("frame", ["", "{", "[]", "{}", '{"type":7}', '{"type":"Trade","seq":"1"}', b"\xff"])
def test_what_is_no_message_is_an_error(frame: str | bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(frame)


def test_a_snapshot_holds_messages_as_they_were_sent() -> None:
    part = decode_snapshot(raw(b'{"messages":[{"type":"Trade","seq":3,"data":{"id":1}}],"complete":true}'))
    assert part == SnapshotPart([IncomingMessage("Trade", raw(b'{"id":1}'), seq=3)], complete=True)


def test_fields_that_are_not_known_yet_are_ignored_and_those_that_are_needed_are_not() -> None:
    known = PRICE + b',"timestamp":1767225600000,"venue":"binance"'
    body = decode_body("MarketData", raw(known + b',"mood":"good"}'))
    assert (body.symbol, body.price, body.timestamp) == ("BTCUSDT", 1.5, BEGIN)
    with pytest.raises(msgspec.ValidationError, match="timestamp"):
        decode_body("MarketData", raw(PRICE + b"}"))


def test_a_channel_that_is_not_known_yet_is_whatever_it_is() -> None:
    body = decode_body("Mood", raw(b'{"symbol":"BTCUSDT","good":true}'))
    assert (body, message(body).symbol) == ({"symbol": "BTCUSDT", "good": True}, "BTCUSDT")
    assert [message(decode_body("Mood", raw(text))).symbol for text in (b"{}", b"[1]", b"null", b'"BTCUSDT"')] == [
        ""
    ] * 4


@given(st.integers(0, 4_102_444_800_000))
def test_a_time_is_the_same_as_text(time_ms: int) -> None:
    assert ms_of(iso_utc(time_ms)) == time_ms


@given(versions())
def test_a_candle_is_decoded_as_it_was_published(lived: list[Any]) -> None:
    for version in lived:
        published = msgspec.json.encode(CandleBody.of(version))
        assert candle_of(decode_body("Candle", raw(published)), venue="binance") == version


def test_a_candle_has_the_venue_of_its_hub() -> None:
    body = CandleBody.of(forming(3, last_id=1_009))
    assert candle_of(body, venue="binance-usdm") == forming(3, last_id=1_009, venue="binance-usdm")
    assert candle_of(CandleBody.of(candle(3)), venue="binance").open_time == candle(3).open_time


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock shows Tokyo's time."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize("text", ["", "soon", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00.250"])
def test_a_time_without_a_time_zone_is_rejected(text: str) -> None:
    assert ms_of("2026-01-01T00:00:00.250Z") == BEGIN + 250
    with pytest.raises(ValueError, match=r"UTC|isoformat"):
        ms_of(text)


def test_figures_that_a_venue_does_not_state_are_null_in_messages_and_nan_behind_them() -> None:
    unsaid: dict[str, Any] = dict.fromkeys(("quote_volume", "taker_buy_volume", "taker_buy_quote_volume"), nan)
    zeros: dict[str, Any] = dict.fromkeys(unsaid, 0.0)
    sent = msgspec.json.encode(CandleBody.of(candle(**unsaid)))
    assert b'"quote_volume":null' in sent
    found = candle_of(decode_body("Candle", raw(sent)), venue="binance")
    assert all(isnan(getattr(found, name)) for name in unsaid)
    assert structs.replace(found, **zeros) == candle(**zeros)
    day = stats(quote_volume=nan, weighted_average=nan)
    body = decode_body("Stats", raw(msgspec.json.encode(StatsBody.of(day))))
    assert isnan(body.quote_volume)
    assert isnan(body.weighted_average)
    assert body.volume == day.volume
    for wrong in (stats(volume=nan), stats(last=nan)):
        with pytest.raises(msgspec.ValidationError):
            decode_body("Stats", raw(msgspec.json.encode(StatsBody.of(wrong))))
