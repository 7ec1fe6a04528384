"""The publisher of raw frames against a broker on loopback: while that is away all waits within a bound, and what is
lost is an incident.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from flows.clock import FeedClock
from flows.kafka.frames import Frame, frame_of
from flows.model import Incident
from sinks.kafka.frames import FrameWriter
from tests.fakes.kafka import Broker, can_be_away, running_broker

CAPACITY = 100
PATIENCE_S = 60
TOPIC = "marketflow.frames.binance"


def open_writer(broker: Broker, on_incident: Callable[[Incident], None], **options: Any) -> FrameWriter:
    settings = broker.settings(buffer=CAPACITY)
    return FrameWriter(settings, venue="binance", clock=FeedClock(), on_incident=on_incident, **options)


class FailingProducer(Producer):
    """A producer that fails for good when it is told to, as one does whose topic was made anew."""

    has_failed = False

    def poll(self, *arguments: Any) -> int:
        self._fail()
        return super().poll(*arguments)

    def produce(self, *arguments: Any, **options: Any) -> None:
        self._fail()
        super().produce(*arguments, **options)

    def _fail(self) -> None:
        if self.has_failed:
            raise KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "out of order", fatal=True))


def put(writer: FrameWriter, *numbers: int) -> None:
    for number in numbers:
        writer.put("BTCUSDT", "market", b"frame %d" % number, number)


def until_empty(writer: FrameWriter) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while writer.waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stored(broker: Broker) -> list[Frame]:
    return [frame_of(b"binance", one.headers.items(), one.value) for one in broker.stored(TOPIC)]


@can_be_away
def test_while_the_broker_is_away_frames_wait_within_a_bound_and_the_loss_is_named() -> None:
    incidents: list[Incident] = []
    named, over = threading.Event(), threading.Event()

    def note(incident: Incident) -> None:
        incidents.append(incident)
        (over if "missing" in incident.outcome else named).set()

    with running_broker() as broker:
        writer = open_writer(broker, note)
        put(writer, 1)
        until_empty(writer)
        broker.pause()
        put(writer, *range(2, 152))
        assert (writer.waiting, writer.lost) == (CAPACITY, 50)
        assert named.wait(PATIENCE_S)
        broker.go_on()
        assert over.wait(PATIENCE_S)
        put(writer, 152)
        writer.close()
        expected = [1, *range(2, 102), 152]
        assert stored(broker) == [Frame("market", b"frame %d" % number, number) for number in expected]
        assert {one.key for one in broker.stored(TOPIC)} == {b"binance:BTCUSDT"}
    assert [one.kind for one in incidents] == ["store_outage"] * 3
    assert incidents[0].cause == "the queue of frames is full"
    assert [one.outcome for one in incidents if "missing" in one.outcome] == [f"50 frames are missing in {TOPIC}"]


@can_be_away
def test_what_the_broker_has_not_taken_at_the_end_is_named() -> None:
    incidents: list[Incident] = []
    with running_broker() as broker:
        writer = open_writer(broker, incidents.append)
        put(writer, 1)
        until_empty(writer)
        broker.pause()
        put(writer, *range(2, 7))
        writer.close()
    assert writer.lost == 5
    assert [one.outcome for one in incidents if "missing" in one.outcome] == [f"5 frames are missing in {TOPIC}"]


def test_a_producer_that_has_failed_for_good_is_replaced_and_the_loss_is_named() -> None:
    incidents: list[Incident] = []
    opened: list[FailingProducer] = []
    named = threading.Event()

    def open_producer(config: dict[str, Any]) -> FailingProducer:
        opened.append(FailingProducer(config))
        return opened[-1]

    def note(incident: Incident) -> None:
        incidents.append(incident)
        if "missing" in incident.outcome:
            named.set()

    with running_broker() as broker:
        writer = open_writer(broker, note, open_producer=open_producer)
        put(writer, 1)
        until_empty(writer)
        opened[0].has_failed = True
        put(writer, 2)
        deadline = time.monotonic() + PATIENCE_S
        while len(opened) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        put(writer, 3)
        assert named.wait(PATIENCE_S)
        writer.close()
        assert [one.payload for one in stored(broker)] == [b"frame 1", b"frame 3"]
    assert {one.outcome for one in incidents if "missing" in one.outcome} == {f"1 frames are missing in {writer.topic}"}
