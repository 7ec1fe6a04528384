"""Messages of the hub as they are on the bus: their JSON without a number, for the stream numbers them, and with the
flow that says it.

    {"type": "Trade", "data": {…}, "timestamp": "2025-01-01T00:00:00Z", "flow": "flow"}

`Nats-Msg-Id` names what must be there once: the subject (venue, symbol, channel, timeframe), the ids of trades or the
begin and the revision of a candle, and a checksum of the values, so that a version that says something else is never
taken for a repetition.
"""

import zlib
from typing import Final

import msgspec
from msgspec import Struct

from flows.model import Candle, FeedStatus, Incident, TradeBatch
from sinks.bus.subjects import FORMING, subject_of
from sinks.hub.messages import Message
from sinks.hub.payloads import ChartCandle, ChartUpdate, FeedStatusUpdate, FullCandle, HeartbeatUpdate, TradeBody

EVENTS: Final = ("Trade", "Incident", "Alert", "Liquidation")
"""Channels of which every message must arrive, as every closed candle."""

_JSON: Final = msgspec.json.Encoder(decimal_format="number")


class Envelope(Struct, frozen=True):
    """A message as it stands on the bus."""

    type: str
    data: Struct
    timestamp: str
    flow: str


def is_lasting(message: Message) -> bool:
    """Whether every such message must arrive, and none replaces the one before."""
    match message.item:
        case Candle() as candle:
            return candle.is_closed
        case ChartUpdate():
            return True
    return message.topic.channel in EVENTS


def encoded(message: Message, flow: str) -> bytes:
    """The message as it is published."""
    plain = message.envelope()
    return _JSON.encode(Envelope(plain.type, plain.data, plain.timestamp, flow))


def subject_of_message(message: Message, flow: str) -> str:
    """Where it is published. What concerns a whole flow has a subject of its own for each flow."""
    topic = message.topic
    match message.item:
        case Candle() as candle if not candle.is_closed:
            return subject_of(topic, FORMING)
        case HeartbeatUpdate() | Incident():
            return subject_of(topic, flow)  # two flows on one subject would refuse each other's, behind fences
        case FeedStatusUpdate(status=FeedStatus(state="removed", symbols=(symbol,))):
            return subject_of(topic._replace(symbol=symbol))  # takes the place of the state that it ends
        case FeedStatusUpdate(status=FeedStatus(line=line)):
            return subject_of(topic, flow, line)
    return subject_of(topic)


def message_id(message: Message, subject: str) -> str:
    """The id under which a lasting message is there once."""
    item, named = message.item, message.item
    match item:
        case TradeBatch():
            ids, named = f"{item.trades[0].id}-{item.trades[-1].id}", TradeBody.of(item).trades
        case Candle():
            ids, named = f"{item.open_time}.{item.revision}", FullCandle.of(item)
        case ChartUpdate(candle=candle):
            ids, named = f"{candle.open_time}.{candle.revision}", ChartCandle.of(candle)
        case _:
            ids, named = "", message.envelope().data
    return f"{subject}:{ids}:{zlib.crc32(_JSON.encode(named)):08x}"
