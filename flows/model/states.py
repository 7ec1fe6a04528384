"""States of connections, instruments and channels."""

from typing import Literal, TypeAlias

from msgspec import Struct


class FeedStatus(Struct, frozen=True):
    """State of one line of a venue, for clients that want to show a light.

    `removed` is no state but the end of something: these symbols are followed no more, on whatever line, and nothing
    that was said of them is the present any longer, until a line is `live` with them again.
    """

    venue: str
    line: str
    state: Literal["connected", "live", "disconnected", "removed"]
    symbols: tuple[str, ...]
    """What the line carries; of `removed`, what has gone."""
    reason: str = ""


class TradeWitness(Struct, frozen=True):
    """Whether the trades of an instrument are known to be complete up to now, by something else than their own stream:
    a kline, a ticker, or REST. Emitted by the sequencer when it changes.
    """

    venue: str
    symbol: str
    is_ahead: bool
    """True: a witness names later trades than those that came. False: a witness agrees that there are none."""
    reason: str = ""
    has_spoken: bool = False
    """The stream itself brings trades again."""


ChannelState: TypeAlias = Literal[
    "live",
    "quiet",
    "silent",
    "behind",
    "cut",
    "connecting",
    "halted",
    "gone",
    "unsynced",
    "not stored",
]
"""How current the data of an instrument is.

`live`: the line is up and confirmed, and data came in time. `quiet`: up and confirmed, nothing happens, and a witness
agrees. `silent`: up, but a witness has moved on or was not heard. `behind`: the flow is later than a bound. `cut`,
`connecting`: the line is down. `halted`, `gone`: the exchange says so. `unsynced`: a book that is not known to be
right. `not stored`: a store does not take it. Whoever does not hear the flow says `unknown`.
"""
FreshnessChannel: TypeAlias = Literal["trades", "klines", "ticker", "book", "best", "store"]
"""What of an instrument has a state: its trades, its klines, its 24-hour ticker, its order book, best bid and ask, and
whether it is stored."""


class ChannelStatus(Struct, frozen=True):
    """The state of one channel of an instrument."""

    channel: FreshnessChannel
    state: ChannelState
    since: int
    """Venue time, ms UTC, when it began."""
    reason: str = ""


class InstrumentStatus(Struct, frozen=True):
    """The state of an instrument: the worst of its channels, and each of them. Published when something changes."""

    venue: str
    symbol: str
    state: ChannelState
    since: int
    """Venue time, ms UTC, when the state began."""
    reason: str = ""
    channels: tuple[ChannelStatus, ...] = ()


class Heartbeat(Struct, frozen=True):
    """The flow is alive: once a second, from its own thread, so that one that hangs is noticed."""

    venue: str
    time: int
    """The venue's time now, ms UTC; 0 as long as it is not known."""
    is_sure: bool = True
    """False while the venue's clock is in doubt."""
