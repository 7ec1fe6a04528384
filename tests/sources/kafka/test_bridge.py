"""The source of raw frames against a broker on loopback: what it reads, from where, and what it does not."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flows.kafka.client import KafkaError
from flows.kafka.frames import headers_of, key_of
from flows.model import Connected, Disconnected, Flush, Incident, RawFrames, Rejected, Subscribed
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.kafka.bridge import TopicSource
from sources.kafka.topic import NoAnswerError, partitions_of
from tests.fakes.kafka import Broker, can_be_away, running_broker

FEED = Feed(symbols=("BTCUSDT", "ETHUSDT"), streams=("aggTrade",), origin="replay", ws_url="ws://none", stale_after_s=2)
PATIENCE_S = 120
"""Longest wait for messages: a bound for broken runs, not a measure."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


def frame(symbol: str, number: int) -> bytes:
    return b'{"stream":"%b@aggTrade","data":{"n":%d}}' % (symbol.lower().encode(), number)


def message(symbol: str, number: int, received_ns: int = 1) -> tuple[Any, ...]:
    return key_of("binance", symbol), frame(symbol, number), headers_of("binance", "market", received_ns)


def source_of(broker: Broker, prefix: str, **options: Any) -> tuple[TopicSource, list[Incident], threading.Event]:
    incidents: list[Incident] = []
    stop = threading.Event()
    chosen = {"prefix": prefix, "read_frames": True, **options}
    source = TopicSource(
        BinanceFeed(FEED), venue="binance", kafka=broker.settings(**chosen), settings=FEED, stop=stop,
        on_incident=incidents.append,
    )  # fmt: skip
    return source, incidents, stop


def polls() -> Iterator[None]:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        yield


def read(partition: Any, frames: int, *kinds: type) -> list[Any]:
    """What polls bring, until there are so many frames, and one of each of these kinds."""
    found: list[Any] = []
    for _ in polls():
        found += partition.next_batch()
        missing = {kind for kind in kinds if not any(isinstance(one, kind) for one in found)}
        if len(payloads(found)) >= frames and not missing:
            return found
    raise AssertionError(f"after {PATIENCE_S} s: {found}")


def payloads(found: list[Any]) -> list[bytes]:
    return [payload for one in found if isinstance(one, RawFrames) for payload in one.payloads]


def parts_of(source: TopicSource, resumed: dict[int, int | None] | None = None) -> list[Any]:
    names = source.list_parts()
    return [source.build_part("source", name, (resumed or {}).get(number)) for number, name in enumerate(names)]


def test_frames_come_as_from_a_connection_and_go_on_at_the_offset_of_the_state(shared: Broker) -> None:
    shared.put("resumed.frames.binance", [message("BTCUSDT", number) for number in range(3)])
    source, incidents, _ = source_of(shared, "resumed")
    assert source.list_parts() == [f"{part}-resumed.frames.binance" for part in range(4)]
    part = parts_of(source)[0]
    assert part.snapshot() == 0
    found = [one for one in read(part, 3) if one != Flush()]
    up, live, frames = found[:3]
    assert up == Connected("market", ("BTCUSDT",), "kafka:0-resumed.frames.binance")
    assert live == Subscribed("market", ("BTCUSDT",), ("btcusdt@aggTrade",))
    assert frames.line == "market"
    assert payloads(found) == [frame("BTCUSDT", number) for number in range(3)]
    assert frames.streams.subscribed == {"btcusdt@aggTrade", "ethusdt@aggTrade"}
    assert part.snapshot() == 3

    shared.put("resumed.frames.binance", [message("BTCUSDT", 3)])
    assert payloads(read(part, 1)) == [frame("BTCUSDT", 3)]
    part.close()
    later, incidents, _ = source_of(shared, "resumed")
    part = parts_of(later, {0: 2})[0]
    assert payloads(read(part, 2)) == [frame("BTCUSDT", number) for number in (2, 3)]
    assert incidents == []
    part.close()


def test_a_topic_is_read_to_its_end_and_that_ends_the_input(shared: Broker) -> None:
    shared.put("ended.frames.binance", [message("BTCUSDT", 1)])
    source, _, _ = source_of(shared, "ended", stop_at_end=True)
    for number, part in enumerate(parts_of(source)):
        found: list[Any] = []
        with pytest.raises(StopIteration):
            for _ in polls():
                found += part.next_batch()
        assert payloads(found) == ([frame("BTCUSDT", 1)] if number == 0 else [])
        assert found[-1] == Flush(final=True)


def test_only_what_comes_from_now_on_is_read_where_that_is_chosen(shared: Broker) -> None:
    shared.put("latest.frames.binance", [message("BTCUSDT", 1)])
    source, _, stop = source_of(shared, "latest", begin="latest")
    part = parts_of(source)[0]
    shared.put("latest.frames.binance", [message("BTCUSDT", 2)])
    assert payloads(read(part, 1)) == [frame("BTCUSDT", 2)]
    stop.set()
    assert part.next_batch() == [Flush(final=True)]
    with pytest.raises(StopIteration):
        part.next_batch()


def test_what_is_no_frame_is_refused_by_name_and_the_next_one_read(shared: Broker) -> None:
    key, value, headers = message("BTCUSDT", 1)
    foreign = [
        (key, None, headers),
        (key, b"", headers),
        (key, value, None),
        (key, value, [("version", b"2"), *headers[1:]]),
        (key, value, [headers[0], ("venue", b"kraken"), *headers[2:]]),
        (key, value, [*headers[:-1], ("received", b"yesterday")]),
        (key, value, [*headers[:-2], ("line", b"\xff"), headers[-1]]),
        (key, b"\xff\x00", [*headers[:-2], ("line", b"private"), headers[-1]]),
    ]
    shared.put("foreign.frames.binance", [*foreign, (key, frame("DOGEUSDT", 1), headers), message("BTCUSDT", 2)])
    source, _, _ = source_of(shared, "foreign")
    part = parts_of(source)[0]
    found = read(part, 1)
    assert payloads(found) == [frame("BTCUSDT", 2)]
    assert [one.reason.removeprefix("a message of the topic: ") for one in found if isinstance(one, Rejected)] == [
        "it has no value",
        "it is empty",
        "it has no header version",
        'it is of another version: the message says: "2"',
        'it is of another venue: the message says: "kraken"',
        "its header received is no number of nanoseconds",
        "its header line is no name",
        "it names no stream, and its line is none that is followed",
    ]
    part.close()


def test_an_offset_that_the_topic_does_not_have_is_an_incident_and_reading_goes_on(shared: Broker) -> None:
    shared.put("anew.frames.binance", [message("BTCUSDT", 1)])
    source, incidents, _ = source_of(shared, "anew")
    part = parts_of(source, {0: 500})[0]
    assert payloads(read(part, 1)) == [frame("BTCUSDT", 1)]
    assert [(one.kind, one.outcome) for one in incidents] == [
        ("gap", "reading goes on at the first message that it has")
    ]
    assert "anew.frames.binance has no offset 500 any more" in incidents[0].cause
    part.close()


def test_partitions_that_read_the_past_stay_together(shared: Broker) -> None:
    second = 1_000_000_000
    for part in (0, 1):
        shared.put(
            "together.frames.binance",
            [message(("BTCUSDT", "ETHUSDT")[part], number, (2 * number + part) * second) for number in range(5)],
            partition=part,
        )
    source, _, _ = source_of(shared, "together")
    parts = parts_of(source)
    seen: list[tuple[int, int]] = []
    for _ in polls():
        if len(seen) == 10:
            break
        for number, part in enumerate(parts):
            seen += [(int(payload[-3:-2]), number) for payload in payloads(part.next_batch())]
    assert seen == sorted(seen)
    assert len(seen) == 10
    for part in parts:
        part.close()


def test_a_topic_that_does_not_exist_says_what_to_do(shared: Broker) -> None:
    if not shared.settings().brokers[0].startswith("127.0.0.1"):
        pytest.skip("it may make topics")
    with pytest.raises(KafkaError, match=r"absent\.frames\.binance cannot be used: .*Create it"):
        source_of(shared, "absent")


def test_brokers_that_do_not_answer_say_so() -> None:
    with pytest.raises(NoAnswerError, match=r"no broker of kafka\.brokers \(127\.0\.0\.1:1\) answers as it should: "):
        partitions_of(Broker("127.0.0.1:1", None).settings(), ["absent"], answer_s=0.5)


@can_be_away
def test_lines_are_down_while_the_broker_is_away_and_go_on_where_they_were() -> None:
    with running_broker() as broker:
        broker.put("away.frames.binance", [message("BTCUSDT", 1)])
        source, _, _ = source_of(broker, "away")
        part = parts_of(source)[0]
        read(part, 1)
        broker.pause()
        found = read(part, 0, Disconnected)
        [down] = [one for one in found if isinstance(one, Disconnected)]
        assert (down.line, down.symbols) == ("market", ("BTCUSDT",))
        assert "0-away.frames.binance" in down.reason
        assert source.lines() == {"market": False}
        broker.go_on()
        broker.put("away.frames.binance", [message("BTCUSDT", 2)])
        found = read(part, 1)
        assert payloads(found) == [frame("BTCUSDT", 2)]
        assert isinstance(found[0], Flush | Connected)
        assert any(isinstance(one, Subscribed) for one in found)
        assert source.lines() == {"market": True}
        part.close()


@can_be_away
def test_reading_goes_on_at_its_offset_when_another_broker_leads() -> None:
    with running_broker(3) as broker:
        broker.put("led.frames.binance", [message("BTCUSDT", 0)])
        source, incidents, _ = source_of(broker, "led")
        part = parts_of(source)[0]
        found = payloads(read(part, 1))
        for number in (1, 2):
            broker.lead("led.frames.binance", number)
            if number == 2:
                broker.lose(1)
            broker.put("led.frames.binance", [message("BTCUSDT", number)])
            found += payloads(read(part, 1))
        assert found == [frame("BTCUSDT", number) for number in range(3)]
        assert part.snapshot() == 3
        assert incidents == []
        part.close()
