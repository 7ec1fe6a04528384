"""Publishes raw frames as they come, so that they can be read again later, by a flow at any place.

It is no store: frames are handed to the library on the flow's thread, which waits for nothing. What is not acknowledged
when the process is killed, or does not fit while the brokers are away, is missing in the topic; a flow that reads it
sees the gap by the trades' ids, and fetches them as ever.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message, Producer

from flows.clock import FeedClock
from flows.kafka.client import KafkaSettings, frames_topic, producer_config, reason_of
from flows.kafka.frames import MOST_BYTES, headers_of, key_of
from sinks.buffered.outage import OnIncident, OutageWatch, StoreNames
from sinks.buffered.writer import CLOSE_TIMEOUT_S

KEPT_MS: Final = 60_000
"""How long a frame is tried before it is given up."""
KEPT_KBYTES: Final = 262_144
"""Most that waits, whatever the number of frames is."""
LOOK_S: Final = 0.2

_GIVEN_UP: Final = frozenset((LibraryError._PURGE_QUEUE, LibraryError._PURGE_INFLIGHT))  # noqa: SLF001 - the library's names

log = structlog.get_logger(__name__)


class FrameWriter:
    """Publisher of the frames of one venue. `put` belongs to the flow's threads.

    A producer that has failed for good is replaced: an idempotent one does when the brokers do not know its sequence
    numbers any more.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        venue: str,
        clock: FeedClock,
        on_incident: OnIncident = lambda _: None,
        open_producer: Callable[[dict[str, Any]], Producer] = Producer,
    ) -> None:
        self.topic = frames_topic(settings.prefix, venue)
        self.lost = 0
        """Frames that are not published, and will not be."""
        self.loss = ""
        """Why the newest of them is lost."""
        self._venue = venue
        self._clock = clock
        self._keys: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._cause = ""
        self._reported = 0
        self._outages = OutageWatch(StoreNames("frames", "Kafka", venue), on_incident=on_incident)
        self._config = {
            **producer_config(settings, on_error=self._note_outage),
            "queue.buffering.max.messages": settings.buffer,
            "queue.buffering.max.kbytes": KEPT_KBYTES,
            "message.max.bytes": MOST_BYTES,
            "message.timeout.ms": KEPT_MS,
            "delivery.report.only.error": True,
            "on_delivery": self._note_delivery,
        }
        self._open_producer = open_producer
        self._producer = open_producer(self._config)
        self._has_failed = False
        """Whether the producer has failed for good, as one does whose topic was lost or made anew."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kafka-frames-{venue}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Frames that are not acknowledged yet."""
        return len(self._producer)

    def put(self, symbol: str, line: str, payload: bytes, received_ns: int) -> None:
        """Publishes a frame of an instrument, or of no single one where `symbol` is empty. Never waits, never fails."""
        key = self._keys.get(symbol)
        if key is None:
            key = self._keys[symbol] = key_of(self._venue, symbol)
        try:
            self._producer.produce(
                self.topic, key=key, value=payload, headers=headers_of(self._venue, line, received_ns)
            )
        except BufferError:
            self._lose("the queue of frames is full")
        except KafkaException as error:  # it is too long, or the library has failed for good
            self._has_failed = self._has_failed or error.args[0].fatal()
            self._lose(reason_of(error.args[0]))

    def close(self) -> None:
        """Waits some seconds until everything is acknowledged; the rest is reported as lost."""
        self._closing.set()
        self._thread.join()
        with suppress(KafkaException):  # it has failed for good: what it holds is given up below
            self._producer.flush(CLOSE_TIMEOUT_S)
        self._give_up(self._producer)
        self._look(is_last=True)

    # --- any thread ---

    def _lose(self, cause: str) -> None:
        with self._lock:
            self.lost += 1
            self._cause = self.loss = cause

    def _note_outage(self, reason: str) -> None:
        """The library calls it for what ails all connections, not for one frame."""
        with self._lock:
            self._cause = self._cause or reason

    def _note_delivery(self, error: LibraryError | None, _: Message) -> None:
        if error is None:
            return
        is_given_up = error.code() in _GIVEN_UP
        self._has_failed = self._has_failed or error.code() == LibraryError._FATAL  # noqa: SLF001 - the library's name
        known = self._outages.cause or "the brokers have not acknowledged it"
        self._lose(known if is_given_up else f"{self.topic}: {reason_of(error)}")

    # --- the thread that looks ---

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(LOOK_S)
            except KafkaException as error:
                self._has_failed = True
                self._note_outage(reason_of(error.args[0]))
            is_busy = len(self._producer) and not self._has_failed
            self._closing.wait(0.0 if is_busy else LOOK_S)
            self._look()
            if self._has_failed:
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Another producer takes what comes from now on. What the one before holds is lost."""
        failed, self._producer = self._producer, self._open_producer(self._config)
        self._give_up(failed)
        self._has_failed = False  # what was given up has said once more that it failed

    def _give_up(self, producer: Producer) -> None:
        """What a producer holds is lost, and counted."""
        if len(producer):
            with suppress(KafkaException):
                producer.purge()
                producer.flush(1.0)

    def _look(self, *, is_last: bool = False) -> None:
        """Reports what has failed since the last look, once everything is acknowledged that it is over, and then, or at
        the end, what was lost.
        """
        with self._lock:
            cause, self._cause = self._cause, ""
            lost = self.lost
        if now := self._clock.now().feed:
            self._outages.on_feed_time(now)
        if cause:
            self._outages.on_failure(cause, held=len(self._producer))
        elif not len(self._producer):
            self._outages.on_success()
        if lost > self._reported and (is_last or not self._outages.failures):
            log.error("frames_not_published", venue=self._venue, frames=lost - self._reported, total=lost)
            self._outages.report("Kafka took no frames", f"{lost - self._reported} frames are missing in {self.topic}")
            self._reported = lost
