import asyncio
import json
import math
import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from websockets.asyncio.client import ClientConnection

from flows.model import Candle, MarketData, Trade, TradeBatch
from flows.websocket import BINARY
from sinks.hub.messages import Message, Topic
from tests.fakes.candles import BASE, stats
from tests.fakes.hubs import ask, hub
from tests.fakes.sbe_schema import Schema
from tests.sbe_codec import CODEC, SCHEMA, codec
from tests.sinks.hub.test_broadcast import BEGIN

SENT = BEGIN + 7
READ = Schema.read(SCHEMA)
FLOATS = st.floats(allow_infinity=False)
IDS = st.integers(-1, 2**63 - 1)
TIMES = st.integers(1, 253_402_300_799_999)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


def test_the_encoder_is_made_of_the_schema() -> None:
    assert CODEC.read_text() == codec(), "run: python -m tests.sbe_codec"


def decoded(message: Message) -> tuple[str, dict[str, Any]]:
    frame = message.frame("sbe")
    assert frame[0] == 0x80 | BINARY
    assert message.frame("sbe") is frame
    return READ.decode(payload_of(frame))


def payload_of(frame: bytes) -> bytes:
    """What follows the header of a WebSocket frame, whose length may have the byte of any sign."""
    return frame[2:] if frame[1] < 126 else frame[4:] if frame[1] == 126 else frame[10:]


def as_in_sbe(message: Message) -> tuple[str, dict[str, Any]]:
    """The JSON message in the words of the schema: flat."""
    body = json.loads(payload_of(message.frame("json")))
    return body["type"], flat({**body["data"], "seq": body["seq"], "sent_time": ms_of(body["timestamp"])})


def ms_of(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def flat(data: dict[str, Any]) -> dict[str, Any]:
    data = dict(data)
    candle = data.pop("candle", None)
    if candle:
        data |= {"open_time": candle.pop("timestamp")} | candle
    if isinstance(data.get("trades"), list):
        data["trades"] = [flat(row) for row in data["trades"]]
    if "timestamp" in data:
        data["time"] = data.pop("timestamp")
    return {re.sub(r"_(\w)", lambda found: found[1].upper(), name): value for name, value in data.items()}


def same(message: Message) -> None:
    assert decoded(message) == as_in_sbe(message)


@given(NAMES, FLOATS, TIMES, st.lists(st.none() | FLOATS, min_size=3, max_size=3))
def test_prices_have_the_values_of_json(symbol: str, price: float, time: int, figures: list[float | None]) -> None:
    item = MarketData("binance", symbol, price if not math.isnan(price) else 1.0, time, *figures)
    same(Message(Topic("MarketData", symbol, "", "binance"), item, seq=2**53 + 1, stamp_ms=SENT))


@given(NAMES, st.lists(FLOATS, min_size=4, max_size=4), IDS, TIMES, st.booleans())
def test_candles_have_the_values_of_json(symbol: str, volumes: list[float], last: int, time: int, closed: bool) -> None:
    volume, quote, bought, bought_quote = volumes
    for status in ("forming", "final", "repaired", "venue", "partial", "unproven"):
        item = structs.replace(
            BASE, symbol=symbol, volume=volume, quote_volume=quote, taker_buy_volume=bought,
            taker_buy_quote_volume=bought_quote, last_id=last, event_time=time, is_closed=closed, status=status,
        )  # fmt: skip
        same(Message(Topic("Candle", symbol, "1m", "binance"), item, seq=5, stamp_ms=SENT))


@given(
    NAMES, st.booleans(), st.lists(st.tuples(IDS, TIMES, st.booleans(), st.sampled_from(("MARKET", "INSURANCE_FUND")))),
)  # fmt: skip
def test_trades_have_the_values_of_json(symbol: str, late: bool, rows: list[tuple[int, int, bool, str]]) -> None:
    trades = [Trade(symbol, number, time, 0.1 + 0.2, 1e-8, maker, time, fill) for number, time, maker, fill in rows]
    batch = TradeBatch("kraken", symbol, trades, late)
    same(Message(Topic("Trade", symbol, "", "kraken"), batch, seq=5, stamp_ms=SENT))


def test_a_long_kind_of_fill_is_cut() -> None:
    batch = TradeBatch("binance", "X", [Trade("X", 1, BEGIN, 1.0, 1.0, True, BEGIN, "é" + "A" * 40)])
    _, values = decoded(Message(Topic("Trade", "X", "", "binance"), batch, seq=5, stamp_ms=SENT))
    assert values["trades"][0]["fill"] == "?" + "A" * 15


def test_what_has_no_binary_form_is_the_text_of_json() -> None:
    item = stats()
    message = Message(Topic("Stats", item.symbol, "", item.venue), item, seq=5, stamp_ms=SENT)
    assert message.frame("sbe") is message.frame("json")


async def read(client: ClientConnection, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Messages of both kinds, each in the words of the schema."""
    found: list[tuple[str, dict[str, Any]]] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            message = await client.recv()
            if isinstance(message, bytes):
                found.append(READ.decode(message))
            else:
                body = json.loads(message)
                values = {**body["data"], "seq": body["seq"], "sent_time": ms_of(body["timestamp"])}
                found.append((body["type"], flat(values)))
    return found


async def test_a_client_of_the_subprotocol_gets_the_values_of_json_and_texts_for_the_rest() -> None:
    candle: Candle = structs.replace(BASE, open_time=BEGIN, event_time=BEGIN + 9, is_closed=True, status="final")
    trades = [Trade("BTCUSDT", number, BEGIN, 90_123.45, 0.1, number == 2, BEGIN + 1) for number in (1, 2)]
    async with hub() as served, served.client() as text, served.client(subprotocols=["sbe"]) as binary:
        assert binary.subprotocol == "sbe"
        for client in (text, binary):
            replies = await ask(
                client, op="subscribe", channels=["Trade", "MarketData", "Candle", "Ticker", "ChartUpdate"]
            )
            assert [reply["type"] for reply in replies] == ["Subscribed", "Snapshot"]
        served.write(
            TradeBatch("binance", "BTCUSDT", trades),
            MarketData("binance", "BTCUSDT", 90_123.45, BEGIN, None, 0.5),
            candle,
        )
        of_text, of_binary = await read(text, 4), await read(binary, 4)
        assert of_binary == of_text
        assert {name for name, _ in of_text} == {"Trade", "MarketData", "Candle", "ChartUpdate"}
        assert of_text[0][1]["trades"][1] == {
            "id": 2, "firstId": 2, "lastId": 2, "price": 90_123.45, "quantity": 0.1, "buyerIsMaker": True,
            "fill": "MARKET", "time": BEGIN,
        }  # fmt: skip
        [pong] = await ask(binary, op="ping")
        assert pong["type"] == "Pong"
        [refusal] = await ask(binary, op="subscribe", channels=["Nonsense"])
        assert refusal["type"] == "Error"


@pytest.mark.parametrize("offered", [["sbe", "json"], ["foreign", "sbe"]])
async def test_the_first_known_subprotocol_of_the_client_is_taken(offered: list[Any]) -> None:
    async with hub() as served, served.client(subprotocols=offered) as client:
        assert client.subprotocol == "sbe"
