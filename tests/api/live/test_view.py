"""The live view with a real hub on loopback: state, disconnects, resumption, and callbacks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.live import view as live_module
from api.live.view import Cut, HubMessage, Joined, LiveEvent, LiveView, Lost, Tick
from flows.model import FeedStatus, Heartbeat
from flows.settings import Hub
from sinks.hub.broadcast import Broadcast
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.interface import BOOK, LIVE, PATIENCE_S, Deployment, price, until


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Deployment]:
    made = Deployment(tmp_path, "")
    made.start_hub()
    yield made
    await made.stop_hub()


def url_of(hub: Deployment) -> str:
    assert hub.broadcast is not None
    return f"ws://127.0.0.1:{hub.broadcast.port}/ws"


async def test_it_knows_the_present_from_the_snapshot_and_follows_it(hub: Deployment) -> None:
    hub.tell(LIVE, price(100.0), BOOK, candle(9), forming(10, last_id=1_001))
    async with LiveView(url_of(hub)) as live:
        await until(lambda: live.forming("BTCUSDT", "1m") is not None)
        tick = live.tick("BTCUSDT")
        assert tick is not None
        assert tick == Tick("binance", "BTCUSDT", 100.0, 99.5, 100.5, tick.age_ms)
        assert live.forming("BTCUSDT", "1m") == forming(10, last_id=1_001)
        hub.tell(price(101.0))
        await until(lambda: live.price("BTCUSDT") == 101.0)
        assert live.symbols() == {"BTCUSDT", "ETHUSDT"}
        assert live.price("SOLUSDT") is None
        assert live.tick("SOLUSDT") is None


async def test_after_a_disconnect_it_resumes_and_misses_nothing(hub: Deployment) -> None:
    async with LiveView(url_of(hub)) as live:
        await asyncio.wait_for(live.joined(), PATIENCE_S)
        events = aiter(live)
        hub.tell(candle(0))
        assert candle_times(await take(events, 1)) == [candle(0).open_time]
        connection = live.connections[0]
        task = live._tasks[0]
        task.cancel()
        await asyncio.wait([task])
        hub.tell(*(candle(minute) for minute in range(1, 5)))
        live._tasks[0] = asyncio.create_task(connection.run())
        found = await take(events, 5)
        assert candle_times(found) == [candle(minute).open_time for minute in range(1, 5)]
        joined = [event for event in found if isinstance(event, Joined)]
        assert joined == [Joined(url_of(hub), "binance", resumed=True)]


async def test_a_hub_that_restarted_is_reported_as_not_resumed(hub: Deployment) -> None:
    hub.tell(price(100.0))
    async with LiveView(url_of(hub)) as live:
        await until(lambda: live.price("BTCUSDT") == 100.0)
        events = aiter(live)
        assert hub.broadcast is not None
        port = hub.broadcast.port
        await hub.stop_hub()
        (cut,) = await take(events, 1)
        assert isinstance(cut, Cut)
        assert live.price("BTCUSDT") == 100.0
        assert not live.connections[0].state.connected
        hub.start_hub(port)
        hub.tell(price(50.0, "ETHUSDT"))
        joined, message = await take(events, 2)
        assert joined == Joined(url_of(hub), "binance", resumed=False)
        assert isinstance(message, HubMessage)
        assert (message.symbol, message.body.price) == ("ETHUSDT", 50.0)
        assert live.price("BTCUSDT") is None
        assert live.connections[0].state.reconnections == 1


async def test_heartbeats_are_no_events(hub: Deployment) -> None:
    async with LiveView(url_of(hub)) as live:
        await asyncio.wait_for(live.joined(), PATIENCE_S)
        events = aiter(live)
        hub.tell(Heartbeat("binance", BEGIN), price(100.0))
        (message,) = await take(events, 1)
        assert isinstance(message, HubMessage)
        assert (message.channel, next(live.venue_states()).clock.is_alive) == ("MarketData", True)


async def test_a_callback_that_fails_does_not_affect_the_others(hub: Deployment) -> None:
    received: list[LiveEvent] = []

    def fail(_: LiveEvent) -> None:
        raise RuntimeError("a bug of the listener")

    async with LiveView(url_of(hub)) as live:
        live.subscribe(fail)
        unsubscribe = live.subscribe(received.append)
        hub.tell(price(100.0))
        await until(lambda: any(isinstance(event, HubMessage) for event in received))
        unsubscribe()
        known = len(received)
        hub.tell(price(101.0))
        await until(lambda: live.price("BTCUSDT") == 101.0)
        assert len(received) == known


async def test_a_loop_that_is_too_slow_gets_the_number_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "EVENTS_HELD", 3)
    live = LiveView()
    events = aiter(live)
    for number in range(5):
        live._on_event(Cut("", str(number)))
    found = [await anext(events) for _ in range(4)]
    assert found == [Lost("", 2), Cut("", "2"), Cut("", "3"), Cut("", "4")]


async def test_a_loop_that_is_left_is_forgotten() -> None:
    live = LiveView()
    events = aiter(live)
    assert len(live._listeners) == 1
    del events
    assert live._listeners == {}


async def test_a_hub_that_refuses_is_named() -> None:
    broadcast = Broadcast(Hub(port=0, token="secret"), origins={"binance": "replay"})
    broadcast.start()
    try:
        async with LiveView(f"ws://127.0.0.1:{broadcast.port}/ws") as live:
            await until(lambda: "refuses" in live.connections[0].state.reason)
            assert "401" in live.connections[0].state.reason
        async with LiveView(f"ws://127.0.0.1:{broadcast.port}/ws", token="secret") as live:
            await asyncio.wait_for(live.joined(), PATIENCE_S)
    finally:
        await asyncio.to_thread(broadcast.close)


async def take(events: AsyncIterator[LiveEvent], count: int) -> list[LiveEvent]:
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(events) for _ in range(count)]


def candle_times(events: list[LiveEvent]) -> list[int]:
    return [event.body.candle.open_time for event in events if isinstance(event, HubMessage)]


async def test_a_symbol_that_the_flow_follows_no_more_is_forgotten(hub: Deployment) -> None:
    hub.tell(LIVE, price(100.0), price(5.0, "ETHUSDT"), BOOK, candle(9), forming(10, last_id=1_001))
    async with LiveView(url_of(hub)) as live:
        await until(lambda: live.forming("BTCUSDT", "1m") is not None)
        hub.tell(
            FeedStatus("binance", "market", "live", ("ETHUSDT",)),
            FeedStatus("binance", "market", "removed", ("BTCUSDT",)),
        )
        await until(lambda: live.price("BTCUSDT") is None)
        assert (live.tick("BTCUSDT"), live.forming("BTCUSDT", "1m")) == (None, None)
        assert (live.symbols(), live.price("ETHUSDT")) == ({"ETHUSDT"}, 5.0)
        assert live.candles.keys() == []
