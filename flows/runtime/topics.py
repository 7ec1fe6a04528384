"""Kafka in a flow: what is published, and frames that come from topics. The client library is loaded only with one."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from flows.clock import FeedClock
from flows.kafka.client import FRAMES, KafkaError, frames_topic, shown, topic_of
from flows.model import Incident
from flows.settings import Feed, Settings, SettingsError
from flows.settings.extras import needs_extra
from sources.feed import VenueFeed
from sources.kafka.copies import FrameCopies

if TYPE_CHECKING:
    from sinks.kafka.writer import KafkaWriter
    from sources.bridge import FeedSource
    from sources.kafka.bridge import TopicSource

VenueSource: TypeAlias = "FeedSource | TopicSource"
"""The source of a venue: its connections, or a topic."""

AWAY_S: Final = 1.0
"""How long the start waits for brokers of which the library has found none."""
_SETTING: Final = "kafka.brokers"

_log = structlog.get_logger(__name__)


def open_topic(
    settings: Settings,
    feed: Feed,
    streams: VenueFeed,
    *,
    stop: threading.Event,
    report: Callable[[Incident], None],
) -> "TopicSource":
    """The source of a venue whose frames are in a topic. `SettingsError` when it cannot be read."""
    with needs_extra("kafka", _SETTING):
        from sources.kafka.bridge import TopicSource  # noqa: PLC0415
    try:
        return TopicSource(
            streams, venue=feed.venue, kafka=settings.kafka, settings=feed, stop=stop, on_incident=report
        )
    except KafkaError as error:
        raise SettingsError(f"kafka.read_frames: {error}") from error


def open_copies(
    settings: Settings, feed: Feed, streams: VenueFeed, *, clock: FeedClock, report: Callable[[Incident], None]
) -> FrameCopies | None:
    """What publishes the frames of a venue's connections; None where they are not published. `streams` is its own."""
    if not settings.kafka.publishes_frames:
        return None
    with needs_extra("kafka", _SETTING):
        from sinks.kafka.frames import FrameWriter  # noqa: PLC0415
    writer = FrameWriter(settings.kafka, venue=feed.venue, clock=clock, on_incident=report)
    return FrameCopies(streams, writer)


def open_kafka(
    settings: Settings, report: Callable[[Incident], None], clocks: Mapping[str, FeedClock]
) -> "KafkaWriter | None":
    """The publisher of trades, candles and incidents; None where none of them is published."""
    kinds = [kind for kind in settings.kafka.publish if kind != FRAMES]
    if not settings.kafka.publishes:
        return None
    with needs_extra("kafka", _SETTING):
        from sinks.kafka.writer import KafkaWriter  # noqa: PLC0415
    return KafkaWriter(
        settings.kafka,
        kinds=kinds,
        flow=settings.flow_name,
        clocks=clocks,
        summary_s=settings.log.summary_s,
        on_incident=report,
    )


def check_topics(settings: Settings) -> None:
    """Looks whether the brokers have all topics that are published to, or make them. `SettingsError` for one that
    cannot be used. Brokers that do not answer are an outage: the flow begins without them, `AWAY_S` after the library
    has found none, or when the time is over that they are given to answer. What they say later is in the log.
    """
    kafka = settings.kafka
    topics = [topic_of(kafka.prefix, kind) for kind in kafka.publish if kind != FRAMES]
    if FRAMES in kafka.publish:
        topics += [frames_topic(kafka.prefix, venue) for venue in settings.by_venue]
    if not kafka.brokers or not topics:
        return
    with needs_extra("kafka", _SETTING):
        from sources.kafka.topic import NoAnswerError, partitions_of  # noqa: PLC0415 - it loads the client library
    looked: Future[object] = Future()
    are_away = threading.Event()
    is_waited_for = True

    def look() -> None:
        try:
            looked.set_result(partitions_of(kafka, topics, create=True, on_error=lambda _: are_away.set()))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            looked.set_exception(error)
            if not is_waited_for and not isinstance(error, NoAnswerError):
                _log.error("topics_cannot_be_used", reason=str(error))
        are_away.set()

    threading.Thread(target=look, name="kafka-topics", daemon=True).start()
    are_away.wait()
    try:
        looked.result(AWAY_S)
    except (NoAnswerError, TimeoutError) as error:
        is_waited_for = False
        reason = str(error) or f"no broker of kafka.brokers ({shown(kafka.brokers)}) can be reached"
        _log.warning("topics_not_checked", topics=topics, reason=reason)
    except KafkaError as error:
        raise SettingsError(f"kafka.publish: {error}") from error
