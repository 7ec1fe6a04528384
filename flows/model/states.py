"""States of connections, instruments and channels."""

from typing import Literal, TypeAlias

from msgspec import Struct

from flows.model.candles import Candle


class FeedStatus(Struct, frozen=True):
    """State of one line of a venue, for the display of clients.

    `removed` is an event, not a state: these symbols are no longer followed on any line, and their data is outdated
    until a line is `live` with them again.
    """

    venue: str
    line: str
    state: Literal["connected", "live", "disconnected", "removed"]
    symbols: tuple[str, ...]
    """The symbols of the line; of `removed`, the removed ones."""
    reason: str = ""


class Watermark(Struct, frozen=True):
    """How far the trades of an instrument are known to be complete. Emitted by the sequencer when it stops or goes on.

    It follows the venue's clock while the instrument's connections are up and nothing is missing. It stops while a
    connection is down, until a trade in sequence shows what was missed, and while trades wait behind a gap.
    """

    stopped_at: int | None
    """Event time of the newest trade in sequence, ms UTC, where the watermark has stopped; None while it follows the
    clock.
    """


class WholeFrom(Struct, frozen=True):
    """The first trade of an instrument follows a stored candle by its id: nothing is missing of the periods from a time
    on. Emitted by the sequencer before that trade.
    """

    time: int
    """End of that candle, ms UTC."""
    stored_until: int = 0
    """End of the newest stored candle, ms UTC: those until then that lack trades here are stored as a whole."""
    before: tuple[Candle, ...] = ()
    """Closed candles before that, of which the running longer periods are made."""


class TradeWitness(Struct, frozen=True):
    """Whether the trades of an instrument are known to be complete up to now, by another source than their own stream:
    a kline, a ticker, or REST. Emitted by the sequencer when it changes.
    """

    venue: str
    symbol: str
    is_ahead: bool
    """True: a witness names later trades than those received. False: a witness confirms that there are none."""
    reason: str = ""
    has_spoken: bool = False
    """The stream itself has trades again."""


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

`live`: the connection is up and confirmed, and data came in time. `quiet`: up and confirmed, without events, which a
witness confirms. `silent`: up, but a witness is ahead or missing. `behind`: the flow is later than a bound. `cut`,
`connecting`: the connection is down. `halted`, `gone`: reported by the exchange. `unsynced`: a book that is not known
to be right. `not stored`: a store does not take it. A client without heartbeats of the flow shows `unknown`.
"""
FreshnessChannel: TypeAlias = Literal["trades", "klines", "ticker", "book", "best", "mark", "liquidations", "store"]
"""The channels of an instrument with a state: trades, klines, 24-hour ticker, order book, best bid and ask, mark price
and funding, liquidations, storage.
"""


class ChannelStatus(Struct, frozen=True):
    """The state of one channel of an instrument."""

    channel: FreshnessChannel
    state: ChannelState
    since: int
    """Venue time, ms UTC, when it began."""
    reason: str = ""


class InstrumentStatus(Struct, frozen=True):
    """The state of an instrument: that of its worst channel, and each channel. Published when one changes."""

    venue: str
    symbol: str
    state: ChannelState
    since: int
    """Venue time, ms UTC, when the state began."""
    reason: str = ""
    channels: tuple[ChannelStatus, ...] = ()


class Heartbeat(Struct, frozen=True):
    """The flow is alive: sent once a second, from its own thread, so that a flow that hangs is detected."""

    venue: str
    time: int
    """The venue's time now, ms UTC; 0 until it is known. While it is in doubt, carried on by the local clock."""
    is_sure: bool = True
    """False while the venue's clock is in doubt."""
