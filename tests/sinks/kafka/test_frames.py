"""The publisher of raw frames against a broker on loopback: while that is away all waits within a bound, and what is
lost is an incident.
"""

import threading
import time
from collections.abc import Callable

from flows.clock import FeedClock
from flows.kafka.frames import Frame, frame_of
from flows.model import Incident
from sinks.kafka.frames import FrameWriter
from tests.fakes.kafka import Broker, can_be_away, running_broker

CAPACITY = 100
PATIENCE_S = 60
TOPIC = "marketflow.frames.binance"


def open_writer(broker: Broker, on_incident: Callable[[Incident], None]) -> FrameWriter:
    settings = broker.settings(buffer=CAPACITY)
    return FrameWriter(settings, venue="binance", clock=FeedClock(), on_incident=on_incident)


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
