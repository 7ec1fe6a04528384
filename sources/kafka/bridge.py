"""A topic with the raw frames of a venue as a Bytewax source, in place of its connections.

Partitions of the topic are those of the source, so the workers share them, and the recovered state has the offset of
each: a flow that goes on reads exactly what it had not read. What is read goes the way of what connections bring.

It reads by the engine's connector. What that leaves open is decided here: where reading begins, that offsets which are
gone are an incident and not a jump to the end, and that no error of a broker ends the flow.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import structlog
from bytewax.connectors.kafka import KafkaError as MessageError
from bytewax.connectors.kafka import KafkaSource
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, KafkaException
from confluent_kafka import KafkaError as LibraryError

from flows.clock import monotonic_ms, wall_ms, wall_ns
from flows.kafka.client import KafkaSettings, frames_topic, reason_of
from flows.model import ConnectionEvent, Flush, Incident, RefreshRequest, TradingStatus
from sources.bridge import FLUSH_S, Polled
from sources.feed import DesiredStreams, VenueFeed
from sources.kafka.channels import Channels
from sources.kafka.pace import Pace
from sources.kafka.partition import HeldFrames
from sources.kafka.reader import FrameReader
from sources.kafka.topic import Span, consumer_config, partitions_of, spans_of

IDLE_S: Final = 0.005
"""Pause after a poll that found nothing, besides the millisecond that the connector waits for messages."""
GRACE_MS: Final = 3_000
"""How long brokers may be away before the lines count as down; the library connects again by itself."""
OLD_NS: Final = 60_000_000_000

_AT_ONCE: Final = datetime(1970, 1, 1, tzinfo=UTC)
_log = structlog.get_logger(__name__)


class TopicSettings(KafkaSettings, Protocol):
    """Settings of a source of topics."""

    @property
    def begin(self) -> str:
        """`earliest` or `latest`."""

    @property
    def stop_at_end(self) -> bool:
        """Whether the input ends where the topic does."""


class VenueSettings(Protocol):
    """The settings of the venue that matter here; the section `feed` describes them."""

    poll_frames: int
    stale_after_s: float

    @property
    def own_symbols(self) -> tuple[str, ...]:
        """The symbols of this process's share."""

    @property
    def is_timely(self) -> bool:
        """Whether the venue's time is ours."""


class TopicPartition(StatefulSourcePartition[Polled, int]):
    """One partition of the topic. The recovered state is the offset of the next message."""

    def __init__(
        self,
        held: HeldFrames,
        reader: FrameReader,
        open_part: Callable[[int, Callable[[object], None]], Any],
        *,
        name: str,
        venue: str,
        settings: VenueSettings,
        stop: threading.Event,
        on_incident: Callable[[Incident], None],
    ) -> None:
        """`open_part` opens the connector at an offset, and gives its errors to a function."""
        self._held = held
        self._reader = reader
        self._open_part = open_part
        self._name = name
        self._venue = venue
        self._settings = settings
        self._stop = stop
        self._on_incident = on_incident
        self._connector: Any = open_part(held.offset, self._note_trouble)
        self._injected: deque[ConnectionEvent] = deque()
        self._is_read = False
        """Whether the topic has ended, where that ends the input."""
        self._ended = False
        self._flushed_s = 0.0
        self._arrived_ms = monotonic_ms()
        self._trouble: tuple[int, str] | None = None
        """Since when, local ms, the brokers are away, and why."""
        self._is_down = False
        self._warned = not settings.is_timely

    @property
    def waiting(self) -> int:
        """Frames that were fetched and are not emitted."""
        return len(self._held)

    @property
    def is_up(self) -> bool:
        """Whether messages come, or may come."""
        return not self._is_down

    def put(self, event: ConnectionEvent) -> None:
        """Injects an event that is not from the topic; from any thread."""
        self._injected.append(event)

    def next_batch(self) -> list[Polled]:
        """What has come; after `stop`, or at the end of a topic that is read to its end, the end."""
        if self._ended:
            raise StopIteration
        out: list[Polled] = []
        while self._injected:
            out.append(self._injected.popleft())
        if self._stop.is_set() or (self._is_read and not len(self._held)):
            self._ended = True
            self.close()
            return [*out, Flush(final=True)]
        now_ms = monotonic_ms()
        self._fetch(now_ms)
        out += self._held.take(self._settings.poll_frames, now_ms)
        out += self._gone_down(now_ms)
        if not len(self._held) and (out or time.monotonic() - self._flushed_s >= FLUSH_S):
            self._flushed_s = time.monotonic()
            out.append(Flush())
        return out

    def next_awake(self) -> datetime:
        """At once while there is something; else after a short pause."""
        return _AT_ONCE if len(self._held) else datetime.now(UTC) + timedelta(seconds=IDLE_S)

    def snapshot(self) -> int:
        """The offset of the next message."""
        return self._held.offset

    def close(self) -> None:
        """Ends the connections."""
        self._held.close()
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.close()

    def _fetch(self, now_ms: int) -> None:
        if self._is_read or len(self._held) >= self._settings.poll_frames:
            return
        try:
            found = self._connector.next_batch()
        except StopIteration:
            self._is_read = True
            return
        except KafkaException as error:
            self._note_trouble(error.args[0])
            return
        for one in found:
            if isinstance(one, MessageError):
                self._on_error(one.err)
                continue
            self._held.put(one, one.offset, now_ms)
            if not self._warned and self._held.newest_ns:
                self._warn_of_age(wall_ns() - self._held.newest_ns)
            self._arrived_ms, self._trouble = now_ms, None
            if self._is_down:
                self._is_down = False
                _log.info("topic_available_again", partition=self._name)

    def _on_error(self, error: LibraryError) -> None:
        if error.code() == LibraryError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the library's own name
            offset = self._held.offset
            self._connector.close()
            self._held.move_to(offset)
            self._connector = self._open_part(OFFSET_BEGINNING, self._note_trouble)
            report_gone(self._on_incident, self._venue, self._name, offset)
        else:
            self._note_trouble(error)

    def _note_trouble(self, error: object) -> None:
        """Also called by the library, within a fetch."""
        self._trouble = (self._trouble[0] if self._trouble else monotonic_ms(), reason_of(error))

    def _gone_down(self, now_ms: int) -> Sequence[ConnectionEvent]:
        """The events of lines that count as down, once."""
        if self._is_down:
            return ()
        quiet_ms, reason = now_ms - self._arrived_ms, ""
        if self._trouble and now_ms - self._trouble[0] > GRACE_MS:
            reason = f"the brokers of topic partition {self._name} are away: {self._trouble[1]}"
        elif quiet_ms > self._settings.stale_after_s * 1_000:
            reason = f"topic partition {self._name} has brought nothing for {quiet_ms / 1_000:.0f} s"
        if not reason:
            return ()
        self._is_down = True
        _log.error("topic_unavailable", partition=self._name, reason=reason)
        return self._reader.went_down(reason)

    def _warn_of_age(self, age_ns: int) -> None:
        self._warned = True
        if age_ns > OLD_NS:
            hint = 'to read the past write feed.origin = "replay": then its own time is the time'
            _log.warning("topic_begins_in_the_past", partition=self._name, age_s=age_ns // 1_000_000_000, hint=hint)


def report_gone(on_incident: Callable[[Incident], None], venue: str, name: str, offset: int) -> None:
    """An incident: the topic no longer has the message that was next, or never had it."""
    now = wall_ms()
    cause = f"topic partition {name} has no offset {offset} any more: it was deleted by age or size, or made anew"
    _log.error("topic_offset_gone", partition=name, offset=offset)
    on_incident(Incident("gap", venue, "", now, now, cause, "reading goes on at the first message that it has"))


class TopicSource(FixedPartitionedSource[Polled, int]):
    """The source of one venue whose frames are in a topic. It has the methods of `FeedSource`."""

    def __init__(
        self,
        feed: VenueFeed,
        *,
        venue: str,
        kafka: TopicSettings,
        settings: VenueSettings,
        stop: threading.Event,
        on_incident: Callable[[Incident], None],
    ) -> None:
        """Looks at the topic. `KafkaError` when it cannot be read."""
        self.topic = frames_topic(kafka.prefix, venue)
        self._parts = partitions_of(kafka, [self.topic])[self.topic]
        self._spans = spans_of(kafka, self.topic, self._parts)
        self._venue = venue
        self._kafka = kafka
        self._settings = settings
        self._stop = stop
        self._on_incident = on_incident
        self._channels = Channels(feed)
        self._pace = Pace()
        self._desired: DesiredStreams = {}
        self._partitions: dict[int, TopicPartition] = {}
        self._readers: dict[int, FrameReader] = {}
        self._waiting_events: deque[ConnectionEvent] = deque()
        self.follow(dict.fromkeys(settings.own_symbols, ()))
        _log.info("topic_found", topic=self.topic, partitions=len(self._parts), messages=self._messages())

    def _messages(self) -> int:
        return sum(span.end - span.begin for span in self._spans.values())

    # --- as `FeedSource` ---

    def follow(self, desired: DesiredStreams, *, not_trading: frozenset[str] = frozenset()) -> None:
        """Sets the desired streams; from any thread. Frames of others are left out."""
        self._desired = dict(desired)
        self._channels.follow(desired)

    def waiting(self) -> dict[str, int]:
        """Frames that were fetched and wait for the flow, by partition; from any thread."""
        return {f"{part:02d} {self.topic}": one.waiting for part, one in list(self._partitions.items())}

    def lines(self) -> dict[str, bool]:
        """Whether the partitions bring frames, by line; from any thread."""
        is_up = all(one.is_up for one in list(self._partitions.values()))
        return dict.fromkeys(self._channels.names, is_up)

    def doubtful(self) -> frozenset[str]:
        """None: who receives the frames knows the connections."""
        return frozenset()

    def refresh(self, wanted: RefreshRequest) -> bool:
        """Sends a request to refetch an instrument's history to its machine; from any thread. False when the instrument
        is not followed, or no partition open yet.
        """
        [symbol] = wanted.symbols
        partition = next(iter(self._partitions.values()), None)
        if symbol not in self._desired or partition is None:
            return False
        partition.put(wanted)
        return True

    def renew(self, symbol: str, kinds: tuple[str, ...], reason: str) -> None:
        """There is no connection whose streams could be renewed."""
        _log.debug("topic_not_renewed", symbol=symbol, kinds=kinds, reason=reason)

    def announce(self, event: TradingStatus) -> None:
        """Injects the trading status of symbols; from any thread. What comes before a partition is open waits."""
        self._waiting_events.append(event)
        if partition := next(iter(self._partitions.values()), None):
            self._deliver(partition)

    def _deliver(self, partition: TopicPartition) -> None:
        while self._waiting_events:
            partition.put(self._waiting_events.popleft())

    # --- the engine's ---

    def list_parts(self) -> list[str]:
        """Called by the engine; the names are those that its connector gives."""
        return [f"{part}-{self.topic}" for part in self._parts]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> TopicPartition:
        """Called by the engine; connects at once."""
        part = int(for_part.partition("-")[0])
        span = self._spans[part]
        offset = self._begin_of(for_part, span, resume_state)
        reader = FrameReader(self._venue, self._channels, url=f"kafka:{for_part}")
        held = HeldFrames(reader, self._pace, part=part, offset=offset, end=span.end, now_ms=monotonic_ms())

        def open_part(at: int, on_error: Callable[[object], None]) -> Any:
            # without statistics, whose callback in the connector fails for a topic that the brokers do not know
            config = consumer_config(self._kafka) | {"error_cb": on_error, "statistics.interval.ms": 0}
            source = KafkaSource(
                self._kafka.brokers, [self.topic], tail=not self._kafka.stop_at_end, starting_offset=at,
                add_config=config, raise_on_errors=False,
            )  # fmt: skip
            return source.build_part(step_id, for_part, None)

        partition = self._partitions[part] = TopicPartition(
            held, reader, open_part, name=for_part, venue=self._venue, settings=self._settings, stop=self._stop,
            on_incident=self._on_incident,
        )  # fmt: skip
        self._readers[part] = reader
        self._deliver(partition)
        return partition

    def _begin_of(self, name: str, span: Span, resume: int | None) -> int:
        """Where a partition is read from."""
        if resume is None:
            return span.begin if self._kafka.begin == "earliest" else span.end
        if span.begin <= resume <= span.end:
            return resume
        report_gone(self._on_incident, self._venue, name, resume)
        return span.begin
