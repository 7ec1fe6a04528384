"""What a poll becomes: events, and refusals that name symbol and kind of the stream where it is subscribed."""

from collections.abc import Sequence
from typing import NamedTuple

from flows.model import MarketEvent, RawFrames, Rejected, StreamNames, Trade, TradingStatus
from sources.frames import KEPT_BYTES

KIND_OF_STREAM = {"bestBidAsk": "bookTicker"}
"""Our word for a kind of stream, where its name has another one."""


class Parsed(NamedTuple):
    """The parsed frames of a poll."""

    events: list[tuple[str, list[MarketEvent]]]
    """Runs `(symbol, events)`: of one symbol, one type, in the order of arrival. In a run of trades from the fast path
    only the last one is checked for symbol and type; the sequencer checks the others together.
    """
    rejected: list[Rejected]
    ignored: int
    """Messages without events: replies to requests and unknown event types."""
    statuses: tuple[TradingStatus, ...] = ()
    """None: they come by REST."""
    trades: Sequence[Trade] = ()
    """Trades of streams that are known, of any symbols, in the order of arrival; they are not among the events."""


def is_carried(name: str, streams: StreamNames | None) -> bool:
    """Whether a stream is subscribed."""
    return streams is None or name in streams.subscribed


def is_retired(name: str, streams: StreamNames | None) -> bool:
    """Whether a stream was subscribed until a moment ago."""
    return streams is not None and name in streams.retired


def foreign(venue: str, name: str, count: int, frames: RawFrames) -> Rejected:
    """Messages of a stream that is not subscribed."""
    reason = "messages of a stream without a subscription" if name else "a message without a stream"
    return Rejected(venue, reason, name.encode("utf-8", "replace")[:KEPT_BYTES], frames.received_ns, count)


def refused(venue: str, reason: str, payload: bytes, frames: RawFrames, name: str) -> Rejected:
    """A rejected message, with symbol and kind if its stream is subscribed."""
    is_known = frames.streams is not None and name in frames.streams.subscribed
    lower, _, kind = name.partition("@") if is_known else ("", "", "")
    symbol = "" if lower.startswith("!") else lower.upper()
    kind = kind.partition("@")[0] if symbol else ""
    kind = KIND_OF_STREAM.get(kind, kind)
    return Rejected(venue, reason, payload[:KEPT_BYTES], frames.received_ns, symbol=symbol, kind=kind)
