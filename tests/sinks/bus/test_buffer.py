"""The buffer's laws: nothing that lasts is lost or overtaken within the bound, and of the rest the newest stays."""

import asyncio
import threading
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from flows.model import Candle, MarketData, TradeBatch
from sinks.bus.buffer import BusBuffer, Loss
from sinks.bus.entry import Entry
from sinks.hub.messages import Message, Topic
from sinks.hub.payloads import ChartUpdate
from tests.fakes.candles import BEGIN, candle
from tests.fakes.trades import trade

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def of_trades(symbol: str, first: int, last: int, *, late: bool = False) -> Entry:
    trades = [trade(number, number) for number in range(first, last + 1)]
    batch = TradeBatch("binance", symbol, trades, late=late)
    return Entry.of(Message(Topic("Trade", symbol, venue="binance"), batch, 0, BEGIN), "flow")


def price(symbol: str, value: float) -> Entry:
    data = MarketData("binance", symbol, value, BEGIN)
    return Entry.of(Message(Topic("MarketData", symbol, venue="binance"), data, 0, BEGIN, mergeable=True), "flow")


def closed(minute: int) -> Entry:
    one: Candle = candle(minute)
    return Entry.of(Message(Topic("ChartUpdate", "BTCUSDT", "1m", "binance"), ChartUpdate(one, None), 0, BEGIN), "flow")


def ids(entry: Entry) -> list[int]:
    return [row["id"] for row in msgspec.json.decode(entry.fixed().body)["data"]["trades"]]


def test_of_what_is_replaced_only_the_newest_waits() -> None:
    buffer = BusBuffer(capacity=100)
    for value in (1.0, 2.0, 3.0):
        buffer.put(price("BTCUSDT", value))
    [entry] = buffer.take(10)
    assert msgspec.json.decode(entry.fixed().body)["data"]["price"] == 3.0
    assert entry.fixed().message_id == ""
    buffer.settle([], [entry])
    buffer.put(price("BTCUSDT", 4.0))
    buffer.settle([], [entry])  # a failure does not bring an old one back
    [entry] = buffer.take(10)
    assert msgspec.json.decode(entry.fixed().body)["data"]["price"] == 4.0


def test_trades_that_wait_are_joined_but_not_with_what_is_on_its_way_or_of_another_kind() -> None:
    buffer = BusBuffer(capacity=10_000)
    buffer.put(of_trades("BTCUSDT", 1, 3))
    [first] = buffer.take(10)
    buffer.put(of_trades("BTCUSDT", 4, 5))
    buffer.put(of_trades("BTCUSDT", 6, 6))
    buffer.put(of_trades("BTCUSDT", 2, 2, late=True))
    buffer.put(of_trades("BTCUSDT", 7, 600))
    buffer.settle([first], [])
    found = []
    while taken := buffer.take(10):
        [entry] = taken
        found.append(ids(entry))
        buffer.settle(taken, [])
    assert [ids(first), *found] == [[1, 2, 3], [4, 5, 6], [2], [*range(7, 601)]]
    assert len(buffer) == 0


class Bus:
    """Takes what a buffer has, or a part of it."""

    def __init__(self, buffer: BusBuffer) -> None:
        self._buffer = buffer
        self.trades: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
        self.candles: list[int] = []

    def turn(self, most: int, takes: list[bool] | None = None) -> bool:
        taken = self._buffer.take(most)
        published = [entry for number, entry in enumerate(taken) if not takes or takes[number % len(takes)]]
        for entry in published:
            body = msgspec.json.decode(entry.fixed().body)
            if body["type"] == "Trade":
                self.trades[body["data"]["symbol"]] += ids(entry)
            elif body["type"] == "ChartUpdate":
                self.candles.append(body["data"]["candle"]["timestamp"])
        self._buffer.settle(published, [entry for entry in taken if entry not in published])
        return bool(taken)


steps = st.one_of(
    st.tuples(st.sampled_from(SYMBOLS), st.integers(1, 5)),
    st.sampled_from(("candle", "price", "pending")),
    st.lists(st.booleans(), min_size=1, max_size=4),
)


@given(st.lists(steps, max_size=40))
def test_whatever_fails_every_trade_arrives_once_in_its_order(some: list[Any]) -> None:
    buffer = BusBuffer(capacity=10_000)
    bus, next_id, minutes = Bus(buffer), dict.fromkeys(SYMBOLS, 1), 0
    for step in some:
        if isinstance(step, tuple):
            symbol, size = step
            buffer.put(of_trades(symbol, next_id[symbol], next_id[symbol] + size - 1))
            next_id[symbol] += size
        elif isinstance(step, list):
            bus.turn(3, step)
        elif step == "candle":
            buffer.put(closed(minutes))
            minutes += 1
        elif step == "price":
            buffer.put(price("BTCUSDT", 1.0))
        else:
            buffer.pending()
    while bus.turn(3):
        pass
    assert bus.trades == {symbol: [*range(1, next_id[symbol])] for symbol in SYMBOLS}
    assert bus.candles == [BEGIN + 60_000 * minute for minute in range(minutes)]
    assert len(buffer) == 0
    assert buffer.take_losses() == []


def test_at_the_bound_new_trades_are_lost_and_candles_still_have_room() -> None:
    buffer = BusBuffer(capacity=5)
    buffer.fail()
    buffer.put(of_trades("BTCUSDT", 1, 5))
    buffer.put(of_trades("BTCUSDT", 6, 7))
    buffer.put(closed(0))
    assert buffer.take_losses() == [Loss("binance", messages=1, trades=2)]
    assert [kept.trades for kept in buffer.pending()] == [5, 0]
    assert buffer.fullest == 5
    buffer.close()
    assert buffer.take_rest() == [Loss("binance", messages=2, trades=5)]
    assert len(buffer) == 0


def test_a_flow_waits_at_the_bound_while_the_bus_works_and_not_while_it_fails() -> None:
    buffer = BusBuffer(capacity=3)
    buffer.put(of_trades("BTCUSDT", 1, 3))
    passed = threading.Event()

    def put_more() -> None:
        buffer.wait_for_room()
        passed.set()

    flow = threading.Thread(target=put_more)
    flow.start()
    taken = buffer.take(1)
    assert not passed.is_set()
    buffer.settle(taken, [])
    assert passed.wait(60)
    flow.join()
    buffer.put(of_trades("BTCUSDT", 4, 6))
    buffer.fail()
    buffer.wait_for_room()


def test_what_is_pending_stays_as_it_is() -> None:
    buffer = BusBuffer(capacity=100)
    buffer.put(of_trades("BTCUSDT", 1, 2))
    [kept] = buffer.pending()
    buffer.put(of_trades("BTCUSDT", 3, 4))
    assert [one.trades for one in buffer.pending()] == [2, 2]
    later = BusBuffer(capacity=100)
    later.put(Entry.again(kept, "flow"))
    later.put(of_trades("BTCUSDT", 3, 3))
    assert later.pending()[0].message_id == kept.message_id
    assert len(later) == 3


def test_a_wait_on_a_loop_ends_with_a_message_the_time_or_the_close_and_ends_nothing_else() -> None:
    buffer, loop = BusBuffer(capacity=5), asyncio.new_event_loop()
    at_once = threading.Thread(target=lambda: loop.call_soon_threadsafe(buffer.wake))
    at_once.start()
    assert buffer.wait_on(loop, 60, for_messages=True)
    at_once.join()
    buffer.wake()
    assert buffer.wait_on(loop, 60, for_messages=True)  # it was woken before

    assert buffer.wait_on(loop, 0, for_messages=True)
    loop.call_soon(buffer.wake)
    assert buffer.wait_on(loop, 0.01, for_messages=False)  # no message ends it

    loop.call_soon(buffer.wake)
    loop.call_soon(buffer.close)  # both ask for the end
    assert not buffer.wait_on(loop, 60, for_messages=True)
    assert loop.run_until_complete(asyncio.sleep(0.01, "whole")) == "whole"
    assert not buffer.wait_on(loop, 60, for_messages=False)
    loop.close()
