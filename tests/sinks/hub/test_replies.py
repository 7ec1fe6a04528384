import json
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from websockets.frames import Frame
from websockets.streams import StreamReader

from sinks.hub.messages import Encoding, Envelope
from sinks.hub.replies import ErrorData, Lagged, Pong, Reply, Reset, SnapshotData, SubscribedData
from sinks.hub.rights import MARKET, MARKET_AND_ACCOUNT
from sinks.hub.subscription import Rule, build_rule

STAMP = "2025-01-01T00:00:00Z"


def told(body: Struct, encoding: Encoding = "json") -> Any:
    """What a client reads."""
    reader = StreamReader()
    reader.feed_data(Reply(body).frame(encoding))
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    data = done.value.value.data
    return json.loads(data) if encoding == "json" else msgspec.msgpack.decode(data)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_answers_as_clients_read_them(encoding: Encoding) -> None:
    assert told(Reset(), encoding) == {"type": "Reset"}
    assert told(Lagged(7), encoding) == {"type": "Lagged", "dropped": 7}
    assert told(Pong(STAMP, 42), encoding) == {"type": "Pong", "timestamp": STAMP, "seq": 42}
    refused = Envelope("Error", ErrorData("unknown op"), STAMP, 42)
    assert told(refused, encoding) == {
        "type": "Error",
        "data": {"reason": "unknown op"},
        "timestamp": STAMP,
        "seq": 42,
    }


def test_a_snapshot_carries_messages_as_they_were_sent() -> None:
    message = Envelope("Error", ErrorData("x"), STAMP, 41)
    part = told(Envelope("Snapshot", SnapshotData([message], complete=False), STAMP, 42))
    assert part["data"] == {"messages": [told(message)], "complete": False}


def test_a_request_is_confirmed_as_it_was_understood_in_a_fixed_order() -> None:
    rule = build_rule(
        wanted=True, channels=["Trade", "MarketData"], symbols=["ethusdt", "BTCUSDT"], timeframes=["1h", "5m"]
    )
    assert SubscribedData.of(rule, {"binance": "replay"}, MARKET_AND_ACCOUNT) == SubscribedData(
        ["MarketData", "Trade"], ["BTCUSDT", "ETHUSDT"], ["5m", "1h"], "binance", "replay", None, {"binance": "replay"},
        ["account", "market"],
    )  # fmt: skip
    everything = SubscribedData.of(
        Rule(wanted=True, channels=frozenset(["Trade"])), {"binance": "live", "kraken": "replay"}, MARKET
    )
    assert (everything.symbols, everything.timeframes, everything.venues) == (None, None, None)
    assert (everything.venue, everything.origin) == ("binance", "live")
    assert everything.origins == {"binance": "live", "kraken": "replay"}
    assert everything.rights == ["market"]
