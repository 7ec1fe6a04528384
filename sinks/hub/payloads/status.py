"""The state of the feed: the `data` of messages about lines, instruments, the flow, and incidents."""

from typing import ClassVar, NamedTuple

from msgspec import Struct

from flows.model import ChannelStatus, FeedStatus, Heartbeat, Incident, InstrumentStatus
from sinks.hub.payloads.form import Payload, iso_utc_or_none


class LineNews(NamedTuple):
    """The state of a line, and where its data comes from (`live`, `testnet`, `replay`, `synthetic`)."""

    status: FeedStatus
    origin: str


class InstrumentNews(NamedTuple):
    """The state of an instrument, and where its data comes from."""

    status: InstrumentStatus
    origin: str


class HeartbeatNews(NamedTuple):
    """A sign of life of the flow, and where its data comes from."""

    heartbeat: Heartbeat
    origin: str


class StatusBody(Struct, frozen=True):
    """The state of one line of the venue, and what its data is. `state` is `connected`, `live` or `disconnected` of the
    line and its `symbols`; or `removed`: these symbols are followed no more, and nothing known of them is the present.
    """

    venue: str
    origin: str
    line: str
    state: str
    symbols: tuple[str, ...]
    reason: str

    @classmethod
    def of(cls, news: LineNews) -> "StatusBody":
        """From the model."""
        status, origin = news
        return cls(status.venue, origin, status.line, status.state, status.symbols, status.reason)


class ChannelBody(Payload[ChannelStatus], frozen=True):
    """The state of one channel of an instrument, in the words of the model, and since when; null before the venue's
    time is known.
    """

    channel: str
    state: str
    since: str | None
    reason: str

    times: ClassVar = {"since": "since"}


class InstrumentBody(Struct, frozen=True):
    """The state of an instrument: that of the worst of its channels, since when, why, and each of them. It stays so
    until another one comes, as long as heartbeats do.
    """

    venue: str
    origin: str
    symbol: str
    state: str
    since: str | None
    reason: str
    channels: list[ChannelBody]

    @classmethod
    def of(cls, news: InstrumentNews) -> "InstrumentBody":
        """From the model."""
        status, origin = news
        return cls(
            status.venue,
            origin,
            status.symbol,
            status.state,
            iso_utc_or_none(status.since),
            status.reason,
            [ChannelBody.of(channel) for channel in status.channels],
        )


class HeartbeatBody(Struct, frozen=True):
    """The flow is alive, once a second; where two are missing, nothing of what was said before is known to hold. `time`
    is what time it is at the venue, null before that is known; ages count from it. `clock` is `sure` or `unsure`.
    """

    venue: str
    origin: str
    state: str
    time: str | None
    clock: str

    @classmethod
    def of(cls, news: HeartbeatNews) -> "HeartbeatBody":
        """From the model."""
        beat, origin = news
        return cls(beat.venue, origin, "alive", iso_utc_or_none(beat.time), "sure" if beat.is_sure else "unsure")


def status_body(news: LineNews | InstrumentNews | HeartbeatNews) -> StatusBody | InstrumentBody | HeartbeatBody:
    """What the channel `Status` says; the three shapes differ in their fields."""
    match news:
        case LineNews():
            return StatusBody.of(news)
        case InstrumentNews():
            return InstrumentBody.of(news)
        case HeartbeatNews():
            return HeartbeatBody.of(news)


class IncidentBody(Payload[Incident], frozen=True):
    """Something that a user of the data would want to know. `symbol` is "" when it concerns the whole venue."""

    kind: str
    venue: str
    symbol: str
    begin: str
    end: str
    cause: str
    outcome: str
    first_id: int
    last_id: int

    times: ClassVar = {"begin": "begin", "end": "end"}
