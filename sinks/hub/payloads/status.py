"""Status payloads: the `data` of messages about lines (stream groups), instruments, the flow, and incidents."""

from typing import ClassVar, NamedTuple

from msgspec import Struct

from flows.model import ChannelStatus, FeedStatus, Heartbeat, Incident, InstrumentStatus
from sinks.hub.payloads.form import Payload, iso_utc_or_none


class FeedStatusUpdate(NamedTuple):
    """The state of a line, and the origin of its data (`live`, `testnet`, `replay`, `synthetic`)."""

    status: FeedStatus
    origin: str


class InstrumentStatusUpdate(NamedTuple):
    """The state of an instrument, and the origin of its data."""

    status: InstrumentStatus
    origin: str


class HeartbeatUpdate(NamedTuple):
    """A heartbeat of the flow, and the origin of its data."""

    heartbeat: Heartbeat
    origin: str


class StatusBody(Struct, frozen=True):
    """The state of one line of the venue, and the origin of its data. `state` is `connected`, `live` or `disconnected`
    for the line and its `symbols`; or `removed`: these symbols are no longer followed, and their state is outdated.
    """

    venue: str
    origin: str
    line: str
    state: str
    symbols: tuple[str, ...]
    reason: str

    @classmethod
    def of(cls, update: FeedStatusUpdate) -> "StatusBody":
        """From the model."""
        status, origin = update
        return cls(status.venue, origin, status.line, status.state, status.symbols, status.reason)


class ChannelBody(Payload[ChannelStatus], frozen=True):
    """The state of one channel of an instrument, named as in the model; `since` is null before the venue's time is
    known.
    """

    channel: str
    state: str
    since: str | None
    reason: str

    times: ClassVar = {"since": "since"}


class InstrumentBody(Struct, frozen=True):
    """The state of an instrument: that of its worst channel, since when, why, and each channel. It holds until the next
    one, as long as heartbeats come.
    """

    venue: str
    origin: str
    symbol: str
    state: str
    since: str | None
    reason: str
    channels: list[ChannelBody]

    @classmethod
    def of(cls, update: InstrumentStatusUpdate) -> "InstrumentBody":
        """From the model."""
        status, origin = update
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
    """The flow is alive, once a second; when two are missing, no earlier state is known to hold. `time` is the venue's
    time, null before it is known; ages count from it. `clock` is `unsure` while that time is only carried on by the
    flow's steady clock, else `sure`.
    """

    venue: str
    origin: str
    state: str
    time: str | None
    clock: str

    @classmethod
    def of(cls, update: HeartbeatUpdate) -> "HeartbeatBody":
        """From the model."""
        beat, origin = update
        return cls(beat.venue, origin, "alive", iso_utc_or_none(beat.time), "sure" if beat.is_sure else "unsure")


def status_body(
    update: FeedStatusUpdate | InstrumentStatusUpdate | HeartbeatUpdate,
) -> StatusBody | InstrumentBody | HeartbeatBody:
    """The payload of the channel `Status`; the three structs differ in their fields."""
    match update:
        case FeedStatusUpdate():
            return StatusBody.of(update)
        case InstrumentStatusUpdate():
            return InstrumentBody.of(update)
        case HeartbeatUpdate():
            return HeartbeatBody.of(update)


class IncidentBody(Payload[Incident], frozen=True):
    """Something that went wrong or was put right. `symbol` is "" when it concerns the whole venue."""

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
