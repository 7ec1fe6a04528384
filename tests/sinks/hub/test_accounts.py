"""Accounts on the hub: who has the right gets them as they are, and who has it not gets nothing, whatever is tried."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from flows.clock import Now
from flows.model import FeedStatus, Incident, MarketData, Publishable
from flows.settings import Hub as HubSettings
from sinks.hub.auth import HandshakeRejected, HandshakeRequest, authorize
from sinks.hub.broadcast import Broadcast
from sinks.hub.client import Client
from sinks.hub.market.accounts import ACCOUNT_MS
from sinks.hub.messages import CHANNELS, Encoding
from sinks.hub.policy import Hub
from sinks.hub.rights import ACCOUNT_CHANNELS, MARKET_AND_ACCOUNT
from sinks.hub.subscription import Rule, Subscription
from tests.fakes.accounts import BALANCE, BEGIN, POSITION, STATE

PATIENCE_S = 120
SETTINGS: Final = HubSettings(token="market", account_token="own")
MARKS: Final = (b"quietlabel", b"XQZ", b"98765", b"whisper", msgpack.packb(98765.4), msgpack.packb(98765.00000001))
"""Parts of everything that is of an account."""
OF_ACCOUNT: Final[list[Publishable]] = [
    STATE,
    BALANCE,
    POSITION,
    Incident("account", "binance", "BTCUSDT", BEGIN, BEGIN, "whisper: quietlabel had 98765 XQZ", "whisper"),
]
PRICE = MarketData("binance", "BTCUSDT", 1.0, BEGIN)
EVERYTHING = Subscription((Rule(wanted=True, channels=frozenset(CHANNELS)),), MARKET_AND_ACCOUNT)


class Line:
    """A client's connection that keeps what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.messages: list[dict[str, Any]] = []

    def write_frames(self, frames: bytes) -> bool:
        self.written += frames
        return True

    def begin_close(self, code: int, reason: str) -> None:
        raise AssertionError(reason)


class Play:
    """A hub whose time is made by hand."""

    def __init__(self, **settings: Any) -> None:
        self.settings = HubSettings(token="market", account_token="own", **settings)
        self.hub = Hub(self.settings, origins={"binance": "replay"}, first_seq=1_000)
        self.local = 0

    @property
    def now(self) -> Now:
        return Now(BEGIN + self.local, self.local)

    def publish(self, *items: Publishable) -> None:
        self.local += 1_000
        self.hub.publish(items, self.now)
        self.hub.on_time(self.now)
        self.hub.flush(self.now)

    def join(self, line: Line, query: dict[str, str], encoding: Encoding, token: str = "market") -> Client | None:
        """As the server does it; None where the handshake is refused."""
        target = f"/ws?{urlencode(query | {'token': token})}"
        try:
            options = authorize(HandshakeRequest(target, [], []), self.settings, venues=("binance",), clients=0)
        except HandshakeRejected:
            return None
        return self.hub.join(
            line, self.now, encoding=encoding, subscription=options.subscription, resume_after=options.resume_after
        )


NAMES = st.lists(st.sampled_from([*CHANNELS, *ACCOUNT_CHANNELS, "*"]), min_size=1, max_size=6)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "channels": NAMES.map(",".join),
        "optional": NAMES.map(",".join),
        "symbols": st.sampled_from(["BTCUSDT", "XQZ", "quietlabel"]),
        "venues": st.just("binance"),
        "resume_after": st.integers(990, 1_040).map(str),
    },
)
REQUESTS = st.fixed_dictionaries(
    {"op": st.sampled_from(["subscribe", "unsubscribe", "ping"])},
    optional={"channels": NAMES, "optional": NAMES, "symbols": st.just(["BTCUSDT"]), "venues": st.just(["binance"])},
)
STEPS = st.lists(
    st.one_of(
        st.just("publish"),
        REQUESTS.map(json.dumps),
        REQUESTS.map(msgpack.packb),
        st.tuples(QUERIES, st.sampled_from(["json", "msgpack", "sbe"])),
    ),
    max_size=12,
)


@given(STEPS, st.sampled_from([0, 3, 1_000]))
def test_no_course_of_requests_brings_anything_of_an_account_without_the_right(steps: list[Any], ring: int) -> None:
    play, line = Play(ring=ring), Line()
    client = play.join(line, {}, "json")
    for step in [*steps, "publish"]:
        if step == "publish":
            play.publish(PRICE, *OF_ACCOUNT)
        elif isinstance(step, tuple):
            query, encoding = step
            if client:
                play.hub.leave(client)
            client = play.join(line, query, encoding)
        elif client:
            play.hub.on_request(client, step, play.now)
    assert not [mark for mark in MARKS if mark in line.written]


@given(STEPS)
def test_the_same_course_with_the_right_brings_what_was_subscribed(steps: list[Any]) -> None:
    """The law above can fail: the same marks are found where the right is."""
    play, line = Play(), Line()
    client = play.join(line, {"channels": "Balance"}, "json", token="own")
    assert client is not None
    for step in steps:
        if step == "publish":
            play.publish(PRICE, *OF_ACCOUNT)
    play.publish(*OF_ACCOUNT)
    assert all(mark in line.written for mark in (b"quietlabel", b"XQZ", b"98765"))
    assert b"whisper" not in line.written


class Frames(Line):
    """A line that decodes JSON."""

    def write_frames(self, frames: bytes) -> bool:
        while frames:
            size, head = frames[1] & 0x7F, 2
            if size == 126:
                size, head = int.from_bytes(frames[2:4]), 4
            elif size == 127:
                size, head = int.from_bytes(frames[2:10]), 10
            self.messages.append(json.loads(frames[head : head + size], parse_float=Decimal))
            frames = frames[head + size :]
        return True

    def of(self, channel: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.messages if message["type"] == channel]


def snapshot(play: Play) -> list[dict[str, Any]]:
    line = Frames()
    client = play.hub.join(line, play.now, encoding="json", subscription=EVERYTHING)
    play.hub.on_request(client, json.dumps({"op": "subscribe", "channels": list(ACCOUNT_CHANNELS)}), play.now)
    play.hub.leave(client)
    return [one["data"] for part in line.messages if part["type"] == "Snapshot" for one in part["data"]["messages"]]


def test_balances_positions_and_states_to_the_letter() -> None:
    play, line = Play(), Frames()
    play.hub.join(line, play.now, encoding="json", subscription=EVERYTHING)
    play.publish(*OF_ACCOUNT)
    assert line.of("Balance") == [
        {
            "venue": "binance", "account": "quietlabel", "asset": "XQZ", "free": Decimal("98765.00000001"),
            "locked": Decimal("1.5"), "total": Decimal("98766.50000001"), "value": None, "quote": None,
            "is_computed": False, "price_time": None, "timestamp": BEGIN,
        }
    ]  # fmt: skip
    assert line.of("Position") == [
        {
            "venue": "binance", "account": "quietlabel", "symbol": "BTCUSDT", "side": "SHORT",
            "quantity": Decimal("98765.4"), "entry_price": Decimal("61000.10"), "break_even_price": None,
            "mark_price": Decimal("61000.1"), "unrealised_pnl": Decimal("-0.5"), "realised_pnl": None, "leverage": 20,
            "margin_type": "cross", "liquidation_price": None, "is_computed": True, "timestamp": BEGIN,
        }
    ]  # fmt: skip
    assert line.of("Account") == [
        {
            "venue": "binance", "account": "quietlabel", "state": "live", "since": "2026-01-01T00:00:00Z", "reason": "",
            "snapshot_time": None, "timestamp": BEGIN,
        }
    ]  # fmt: skip
    assert line.of("Incident") == []


def test_who_comes_late_gets_what_there_is_and_nothing_of_what_is_gone() -> None:
    play = Play()
    other = replace(BALANCE, asset="ABC")
    play.publish(STATE, BALANCE, other, POSITION)
    assert {one.get("asset") or one.get("symbol") or one["state"] for one in snapshot(play)} == {
        "live", "XQZ", "ABC", "BTCUSDT"
    }  # fmt: skip
    play.publish(
        replace(BALANCE, free=Decimal(0), locked=Decimal(0), total=Decimal(0)), replace(POSITION, quantity=Decimal(0))
    )
    assert {one.get("asset") or one["state"] for one in snapshot(play)} == {"live", "ABC"}


def test_a_position_outlasts_its_symbol_being_followed() -> None:
    play, line = Play(), Frames()
    play.publish(POSITION, PRICE)
    play.publish(FeedStatus("binance", "market", "removed", ("BTCUSDT",)))
    play.hub.join(line, play.now, encoding="json", subscription=EVERYTHING)
    play.hub.publish([replace(POSITION, quantity=Decimal(2))], play.now)
    play.hub.flush(play.now)
    assert [one["quantity"] for one in line.of("Position")] == [2]
    assert [one["symbol"] for one in snapshot(play)] == ["BTCUSDT"]


def test_the_newest_version_comes_after_the_interval() -> None:
    play, line = Play(), Frames()
    play.hub.join(line, play.now, encoding="json", subscription=EVERYTHING)
    for size in range(1, 5):
        play.hub.publish([replace(POSITION, quantity=Decimal(size))], play.now)
    play.hub.flush(play.now)
    assert [one["quantity"] for one in line.of("Position")] == [1]
    assert play.hub.next_deadline_ms == play.local + ACCOUNT_MS
    play.publish()
    assert [one["quantity"] for one in line.of("Position")] == [1, 4]


def test_no_account_is_live_with_what_was_known_before() -> None:
    """Balances are held for the interval, and a state that says something else of them comes after them."""
    play, line = Play(), Frames()
    play.hub.join(line, play.now, encoding="json", subscription=EVERYTHING)
    play.hub.publish([BALANCE], play.now)
    play.hub.publish([replace(BALANCE, total=Decimal(3)), STATE], play.now)
    play.hub.flush(play.now)
    found = [(one["type"], one["data"].get("total")) for one in line.messages if one["type"] in ACCOUNT_CHANNELS]
    assert found == [("Balance", BALANCE.total), ("Balance", 3), ("Account", None)]
    line.messages.clear()
    play.hub.publish([replace(STATE, state="stale")], play.now)  # held, as is what follows it
    play.hub.publish([replace(BALANCE, total=Decimal(4))], play.now)
    play.publish()
    assert [one["type"] for one in line.messages if one["type"] in ACCOUNT_CHANNELS] == ["Balance", "Account"]


# --- real clients ---


@asynccontextmanager
async def served() -> AsyncIterator[Broadcast]:
    broadcast = Broadcast(HubSettings(port=0, token="market", account_token="own"), origins={"binance": "replay"})
    broadcast.start()
    try:
        yield broadcast
    finally:
        await asyncio.to_thread(broadcast.close)


def client_of(broadcast: Broadcast, query: str, protocol: str) -> connect:
    address = f"ws://127.0.0.1:{broadcast.port}/ws?{query}"
    return connect(address, compression=None, subprotocols=[protocol])  # type: ignore[list-item]


async def heard(client: ClientConnection) -> bytes:
    """All that came before the answer to a ping."""
    await client.send('{"op":"ping"}')
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            frame = await client.recv()
            found += frame.encode() if isinstance(frame, str) else frame
            if b"Pong" in found:
                return found


async def test_real_clients_without_the_right_hear_nothing_in_any_encoding_or_resumption() -> None:
    markets = ",".join(channel for channel in CHANNELS if channel not in ACCOUNT_CHANNELS)
    async with served() as broadcast:
        async with client_of(broadcast, "token=own&channels=Balance,Position,Account", "json") as owner:
            broadcast.write([PRICE, *OF_ACCOUNT])
            begin = json.loads(await asyncio.wait_for(owner.recv(), PATIENCE_S))["seq"] - 1
            own = await heard(owner)
            assert b"98765" in own
        for protocol in ("json", "msgpack", "sbe"):
            with pytest.raises(InvalidStatus) as refused:
                await client_of(broadcast, f"token=market&channels=Balance&resume_after={begin}", protocol)
            assert refused.value.response.status_code == 403
            for after in (begin, 1):
                query = f"token=market&channels={markets}&optional=Balance,Position,Account&resume_after={after}"
                async with client_of(broadcast, query, protocol) as client:
                    await client.send(json.dumps({"op": "subscribe", "channels": list(CHANNELS)}))
                    await client.send(json.dumps({"op": "subscribe", "channels": ["*"]}))
                    await client.send(json.dumps({"op": "subscribe", "optional": list(ACCOUNT_CHANNELS)}))
                    broadcast.write(OF_ACCOUNT)
                    broadcast.write([PRICE])
                    found = await heard(client)
                    assert b"Subscribed" in found
                    assert b"hub.account_token" in found
                    assert not [mark for mark in MARKS if mark in found]
            async with client_of(broadcast, f"token=own&channels=Balance&resume_after={begin}", protocol) as owner:
                assert (msgpack.packb(98765.00000001) if protocol == "msgpack" else b"98765") in await heard(owner)
