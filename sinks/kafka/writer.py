"""Publishes trades, closed candles and incidents to topics of Kafka.

    flow's threads ── write ─▶ `entries_of` ─▶ `BusBuffer` ── own thread ─▶ connector ─▶ brokers

Of an instrument and kind one message is on its way at a time, so they are in order whatever fails. What is not
acknowledged waits, within a bound, and is part of the recovered state, as of a store: a killed process loses nothing.
It is *at least once*: after a failure or a kill some messages come again, with the ids that they had. That the producer
is idempotent excludes repetitions by the library alone, within one connection to the brokers.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from flows.clock import FeedClock, wall_ms
from flows.kafka.client import KafkaSettings
from flows.model import Publishable, VenueItems
from sinks.buffered.outage import OnIncident, OutageWatch, StoreNames
from sinks.bus.buffer import Loss
from sinks.bus.entry import Entry, Kept
from sinks.bus.outbound import MessageWriter
from sinks.bus.stored import Refused
from sinks.bus.subjects import channel_of
from sinks.hub.messages import exchange_time
from sinks.kafka.messages import KINDS, entries_of
from sinks.kafka.producer import Producer

log = structlog.get_logger(__name__)


class KafkaWriter(MessageWriter):
    """Publisher of one flow. `write` may be called from any thread."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        kinds: Sequence[str],
        flow: str,
        clocks: Mapping[str, FeedClock],
        summary_s: float = 60.0,
        first_retry_s: float = 0.25,
        on_incident: OnIncident = lambda _: None,
    ) -> None:
        """`kinds` are those to publish, of `trades`, `candles` and `incidents`; `flow` is named in each message.
        `clocks` are those of the venues.
        """
        self._kinds = kinds
        self._flow = flow
        self._clocks = clocks
        self._producer = Producer(settings)
        super().__init__(
            thread_name="kafka-writer",
            capacity=settings.buffer,
            outages=OutageWatch(
                StoreNames("messages", "Kafka", next(iter(clocks)) if len(clocks) == 1 else ""),
                on_incident=on_incident,
                first_retry_s=first_retry_s,
            ),
            summary_s=summary_s,
        )
        self._start()

    # --- the flow's side ---

    def write(self, batch: list[Publishable]) -> None:
        """Takes items, and leaves out those that are not published. It waits only while the buffer is full and the
        brokers take messages.
        """
        if not batch:
            return
        newest = max(map(exchange_time, batch))
        if newest:
            self._outages.on_feed_time(newest)
        venue = batch.venue if isinstance(batch, VenueItems) else getattr(batch[0], "venue", "")
        entries = list(entries_of(batch, self._kinds, self._flow, lambda: self._stamp_ms(venue, newest)))
        if not entries:
            return
        if threading.current_thread() is not self._thread:  # its own incidents wait for nothing
            self._buffer.wait_for_room()
        self._buffer.put_all(entries)
        self._buffer.wake()

    def _stamp_ms(self, venue: str, newest: int) -> int:
        clock = self._clocks.get(venue)
        return (clock.now().feed if clock else 0) or newest or wall_ms()

    def pending(self) -> list[Any]:
        """What a restart must publish if this process ends now."""
        return list(self._buffer.pending())

    def resume(self, pending: list[Any]) -> None:
        """Takes over the result of `pending` of an earlier process."""
        self._buffer.put_all(Entry.again(one, self._flow) for one in pending if isinstance(one, Kept))
        self._buffer.wake()

    def close(self) -> None:
        """Publishes what is held, for some seconds while the brokers fail; the rest is reported as lost."""
        self._begin_close()
        self._thread.join()

    # --- the writer's thread ---

    def _wait(self) -> bool:
        if self._outages.failures:
            return self._buffer.wait(self._outages.pause_s, for_messages=False)
        return self._buffer.wait(None, for_messages=True)

    def _explain(self, error: Exception) -> str:
        log.error("kafka_writer_failed", exc_info=error)
        return repr(error)

    def _publish(self, entries: list[Entry]) -> str:
        """Publishes what was taken. Returns why it is not all there; "" when it is."""
        published: list[Entry] = []
        failed: list[Entry] = []
        refused: list[Entry] = []
        cause = ""
        outcomes = self._producer.publish([entry.fixed() for entry in entries])
        for entry, outcome in zip(entries, outcomes, strict=True):
            if outcome is None:
                published.append(entry)
            elif isinstance(outcome, Refused):
                refused.append(entry)
                self._name_refused(entry, outcome.reason)
            else:
                failed.append(entry)
                cause = outcome
        self._buffer.settle(published, failed, refused)
        self._summary.count(Counter(KINDS[channel_of(entry.subject)] for entry in published))
        return cause

    def _report_loss(self, loss: Loss) -> None:
        log.error("messages_not_published", venue=loss.venue, messages=loss.messages, trades=loss.trades)
        self._outages.report(
            "Kafka took no messages, and the buffer no more of them, or they were too large for it",
            f"{loss.messages} messages with {loss.trades} trades are not published; the stores have them",
        )

    def _release(self) -> None:
        self._producer.close()
