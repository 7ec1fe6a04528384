"""Kafka in a flow: what is published, and frames that come from topics. The client library is loaded only with one."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from flows.clock import FeedClock
from flows.kafka.client import FRAMES, KafkaError, frames_topic, topic_of
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
    check_topics(settings, [frames_topic(settings.kafka.prefix, feed.venue)])
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
    check_topics(settings, [topic_of(settings.kafka.prefix, kind) for kind in kinds])
    return KafkaWriter(
        settings.kafka,
        kinds=kinds,
        flow=settings.flow_name,
        clocks=clocks,
        summary_s=settings.log.summary_s,
        on_incident=report,
    )


def check_topics(settings: Settings, topics: list[str]) -> None:
    """Looks whether the brokers have the topics, or make them. `SettingsError` for one that cannot be used. Brokers
    that do not answer are an outage: the flow begins without them, after the time that they are given to answer.
    """
    from sources.kafka.topic import NoAnswerError, partitions_of  # noqa: PLC0415 - it loads the client library

    try:
        partitions_of(settings.kafka, topics, create=True)
    except NoAnswerError as error:
        _log.warning("topics_not_checked", topics=topics, reason=str(error))
    except KafkaError as error:
        raise SettingsError(f"kafka.publish: {error}") from error
