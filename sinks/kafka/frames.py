"""Publishes raw frames as they come, so that they can be read again later, by a flow at any place.

It is no store: frames are handed to the library on the flow's thread, which waits for nothing. What is not acknowledged
when the process is killed, or does not fit while the brokers are away, is missing in the topic; a flow that reads it
sees the gap by the trades' ids, and fetches them as ever.
"""

import threading
from typing import Final

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
    """Publisher of the frames of one venue. `put` belongs to the flow's threads."""

    def __init__(
        self, settings: KafkaSettings, *, venue: str, clock: FeedClock, on_incident: OnIncident = lambda _: None
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
        self._producer = Producer(
            {
                **producer_config(settings, on_error=self._note_outage),
                "queue.buffering.max.messages": settings.buffer,
                "queue.buffering.max.kbytes": KEPT_KBYTES,
                "message.max.bytes": MOST_BYTES,
                "message.timeout.ms": KEPT_MS,
                "delivery.report.only.error": True,
                "on_delivery": self._note_delivery,
            }
        )
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
            self._lose(reason_of(error.args[0]))

    def close(self) -> None:
        """Waits some seconds until everything is acknowledged; the rest is reported as lost."""
        self._closing.set()
        self._thread.join()
        left = self._producer.flush(CLOSE_TIMEOUT_S)
        if left:
            self._producer.purge()
            self._producer.flush(1.0)
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
        known = self._outages.cause or "the brokers have not acknowledged it"
        self._lose(known if is_given_up else f"{self.topic}: {reason_of(error)}")

    # --- the thread that looks ---

    def _run(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(LOOK_S)
            self._closing.wait(0.0 if len(self._producer) else LOOK_S)
            self._look()

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
