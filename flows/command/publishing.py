"""`marketflow publish`: tapes into a topic of raw frames."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.command.examples import epilog
from flows.command.outcome import CommandError, say

if TYPE_CHECKING:
    from flows.settings import Settings

_PAUSE_S = 0.01


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("publish", epilog=epilog("publish"))(publish)


def publish(
    tapes: Annotated[list[Path], typer.Argument(metavar="TAPE…", help="Files of marketflow record.")],
) -> None:
    """Puts recordings into the Kafka topic of raw frames of their exchange, where flows with kafka.read_frames read it.

    The frames keep the times at which they were received, and follow what the topic has already.
    """
    from flows.settings import SettingsError, load_settings

    settings = load_settings()
    if not settings.kafka.brokers:
        raise SettingsError("kafka.brokers names no broker: set it, as in MARKETFLOW_KAFKA__BROKERS=127.0.0.1:9092")
    try:
        for path in tapes:
            say(f"{path}: {_publish(settings, path):,} frames published")
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error


def _publish(settings: "Settings", path: Path) -> int:
    """Publishes a tape; returns the number of its frames."""
    from flows.clock import FeedClock
    from flows.kafka.client import KafkaError, frames_topic
    from flows.settings import Feed
    from flows.settings.extras import needs_extra

    with needs_extra("kafka", "kafka.brokers"):
        from sinks.kafka.frames import FrameWriter
        from sources.kafka.topic import partitions_of
    from sources.kafka.channels import Channels
    from sources.kafka.tapes import frames_of, header_of
    from sources.venues import VENUES

    header = header_of(path)
    if header.venue not in VENUES:
        raise CommandError(f"{path} is a tape of {header.venue!r:.40}; venues are {', '.join(VENUES)}")
    feed = settings.by_venue.get(header.venue) or Feed.model_validate({"venue": header.venue})
    channels = Channels(VENUES[header.venue].feed(feed))
    channels.follow(dict.fromkeys(header.symbols, feed.kinds))
    count = 0
    try:
        partitions_of(settings.kafka, [frames_topic(settings.kafka.prefix, header.venue)], create=True)
    except KafkaError as error:
        raise CommandError(str(error)) from error
    writer = FrameWriter(settings.kafka, venue=header.venue, clock=FeedClock())
    try:
        for received_ns, payload in frames_of(path):
            name = channels.channel_of(payload)
            channel = channels.by_name.get(name)
            if name:
                while writer.waiting >= settings.kafka.buffer // 2 and not writer.lost:
                    time.sleep(_PAUSE_S)
                if writer.lost:
                    break
                writer.put(channel.symbol if channel else "", channel.line if channel else "", payload, received_ns)
                count += 1
    finally:
        writer.close()
    if writer.lost:
        published = f"of its first {count:,} frames {writer.lost:,} are not published, and none behind them"
        raise CommandError(f"{path}: {published}: {writer.loss}")
    return count
