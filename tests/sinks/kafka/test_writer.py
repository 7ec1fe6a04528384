"""The publisher against a broker on loopback: what is said is in the topics, in order, whatever happens to either."""

import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from flows.clock import FeedClock
from flows.model import Incident, TradeBatch, VenueItems
from sinks.kafka.messages import entries_of
from sinks.kafka.producer import MOST_BYTES
from sinks.kafka.writer import KafkaWriter
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.kafka import Broker, Stored, can_be_away, running_broker
from tests.fakes.trades import trade

ALL = ("trades", "candles", "incidents")
LEADERS = 4


@pytest.fixture(scope="module")
def shared() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


def open_writer(broker: Broker, prefix: str, *, kinds: tuple[str, ...] = ALL, **options: Any) -> KafkaWriter:
    settings = broker.settings(prefix=prefix, buffer=options.pop("buffer", 1_000), **options.pop("kafka", {}))
    return KafkaWriter(settings, kinds=kinds, flow="flow", clocks={"binance": FeedClock()}, **options)


def batch(first: int, last: int, symbol: str = "BTCUSDT", **options: Any) -> TradeBatch:
    return TradeBatch("binance", symbol, [trade(number, number) for number in range(first, last + 1)], **options)


def items(*some: Any) -> VenueItems:
    return VenueItems("binance", list(some))


def body(one: Stored) -> dict[str, Any]:
    assert one.value
    found: dict[str, Any] = msgspec.json.decode(one.value)
    return found


def trade_ids(broker: Broker, prefix: str, symbol: str = "BTCUSDT") -> list[int]:
    found = [body(one)["data"] for one in broker.stored(f"{prefix}.trades")]
    return [row["id"] for data in found if data["symbol"] == symbol for row in data["trades"]]


def test_each_kind_is_in_its_topic_under_its_instrument(shared: Broker) -> None:
    writer = open_writer(shared, "kinds")
    writer.write(
        items(batch(1, 3), forming(1), candle(0), Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN, "a gap"))
    )
    writer.write([Incident("feed_down", "binance", "", BEGIN, BEGIN, "away")])
    writer.write([Incident("account", "binance", "", BEGIN, BEGIN, "of the owner alone")])
    writer.close()
    [trades], [closed], incidents = (shared.stored(f"kinds.{kind}") for kind in ALL)
    assert (trades.key, closed.key) == (b"binance:BTCUSDT", b"binance:BTCUSDT")
    assert trades.headers["type"] == b"Trade"
    assert trades.headers["version"] == b"1"
    assert trades.headers["id"].startswith(b"mf.binance.BTCUSDT.Trade:1-3:")
    assert [row["id"] for row in body(trades)["data"]["trades"]] == [1, 2, 3]
    assert {name: body(trades)[name] for name in ("type", "flow")} == {"type": "Trade", "flow": "flow"}
    data = body(closed)["data"]
    assert (data["candle"]["close"], data["candle"]["is_closed"]) == (candle(0).close, True)
    assert {one.key: body(one)["data"]["kind"] for one in incidents} == {
        b"binance:BTCUSDT": "gap", b"binance": "feed_down",
    }  # fmt: skip


def test_what_is_not_chosen_is_not_published(shared: Broker) -> None:
    writer = open_writer(shared, "some", kinds=("candles",))
    writer.write(items(batch(1, 3), candle(0)))
    writer.close()
    assert len(shared.stored("some.candles")) == 1
    assert shared.stored("some.trades") == []


def test_what_an_earlier_process_has_left_comes_first(shared: Broker) -> None:
    writer = open_writer(shared, "left")
    writer.resume([one.kept for one in entries(batch(1, 2), batch(3, 4))])
    writer.write(items(batch(5, 6)))
    writer.close()
    assert trade_ids(shared, "left") == [1, 2, 3, 4, 5, 6]


def entries(*batches: TradeBatch) -> list[Any]:
    found = list(entries_of(items(*batches), ALL, "flow", lambda: BEGIN))
    for one in found:
        one.fixed()
    return found


def test_a_message_that_no_broker_takes_is_counted_and_holds_up_nothing(shared: Broker) -> None:
    incidents: list[Incident] = []
    writer = open_writer(shared, "long", on_incident=incidents.append)
    writer.write([Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN, "x" * MOST_BYTES)])
    writer.write(items(batch(1, 1), Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN, "short")))
    writer.close()
    assert [body(one)["data"]["cause"] for one in shared.stored("long.incidents")] == ["short"]
    assert [one.outcome for one in incidents] == ["1 messages with 0 trades are not published; the stores have them"]


@can_be_away
def test_while_the_broker_is_away_all_waits_within_a_bound_and_the_loss_is_named() -> None:
    incidents: list[Incident] = []
    away, back = threading.Event(), threading.Event()

    def note(incident: Incident) -> None:
        incidents.append(incident)
        (away if not away.is_set() else back).set()

    with running_broker() as broker:
        writer = open_writer(broker, "away", buffer=100, on_incident=note, first_retry_s=0.05)
        writer.write(items(batch(1, 10), batch(1, 10, "ETHUSDT")))
        while sum(writer.published.values()) < 2:
            pass
        broker.pause()
        writer.write(items(batch(11, 20), candle(0)))
        assert away.wait(60)
        assert writer.outage
        writer.write(items(batch(21, 100)))  # 90 trades wait now
        writer.write(items(batch(101, 111)))  # and these do not fit
        assert writer.waiting == 90
        broker.go_on()
        assert back.wait(60)
        writer.write(items(batch(112, 113), candle(1)))
        writer.close()
        found = trade_ids(broker, "away")
        assert list(dict.fromkeys(found)) == [*range(1, 101), 112, 113]
        assert trade_ids(broker, "away", "ETHUSDT") == list(range(1, 11))
        times = [body(one)["data"]["candle"]["timestamp"] for one in broker.stored("away.candles")]
        assert list(dict.fromkeys(times)) == [candle(0).open_time, candle(1).open_time]
    assert [one.kind for one in incidents] == ["store_outage"] * 3
    assert "away.trades: " in incidents[0].cause or "away.candles: " in incidents[0].cause
    assert {one.outcome for one in incidents[1:]} >= {
        "1 messages with 11 trades are not published; the stores have them"
    }


@can_be_away
def test_a_change_of_leader_and_a_lost_broker_lose_nothing_and_keep_the_order() -> None:
    with running_broker(3) as broker:
        writer = open_writer(broker, "led", kinds=("trades",), first_retry_s=0.05)
        for turn in range(LEADERS):
            first = 1 + turn * 10
            writer.write(items(batch(first, first + 9), batch(first, first + 9, "ETHUSDT")))
            while not writer.published:
                pass  # the topic is there
            broker.lead("led.trades", 1 + turn % 3)
            if turn == LEADERS // 2:
                broker.lose(1 + turn % 3)  # and with it the connection on which messages are
                broker.lead("led.trades", 1 + (turn + 1) % 3)
        writer.close()
        for symbol in ("BTCUSDT", "ETHUSDT"):
            found = trade_ids(broker, "led", symbol)
            assert [*dict.fromkeys(found)] == [*range(1, LEADERS * 10 + 1)]
            assert all(later <= earlier + 1 for earlier, later in pairwise(found))  # repeated, but never left out
