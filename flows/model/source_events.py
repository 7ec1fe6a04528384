"""Events of a source: raw frames, and events of its connections.

A *line* is a group of streams with an address of its own, e.g. `market` or `public`; it may have several connections.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

TRADE_KINDS = frozenset(("aggTrade", "trade"))
"""Kinds of streams with trades, named as in the setting `feed.streams`. Their ids show whether any trade is missing."""

EVENT_KINDS = frozenset(("forceOrder", "contractInfo"))
"""Kinds of streams that speak only when something happens: their silence means nothing."""

STEADY_KINDS = frozenset(("markPrice",))
"""Kinds of streams that the exchange sends every few seconds, whether anything happens or not."""


class StreamNames(Struct, frozen=True):
    """The streams of a connection, by the venue's names."""

    subscribed: frozenset[str]
    retired: frozenset[str] = frozenset()
    """Unsubscribed recently: messages of these are ignored, not refused."""


class RawFrames(Struct, frozen=True, gc=False):
    """Undecoded messages of one line, in the order of arrival: all that were available at one moment.

    They are batched because the engine costs per item, and decoding per call.
    """

    line: str
    """The venue's line, e.g. `market` or `public`."""
    payloads: list[bytes]
    received_ns: int
    """Local wall clock when they were emitted, ns since the epoch: for logs, never for decisions."""
    streams: StreamNames | None = None
    """The streams of the connection; messages of any other are refused. None: every stream is taken, as of a recording.
    """


class Connected(Struct, frozen=True):
    """A connection of a line is open; nothing is subscribed yet."""

    line: str
    symbols: tuple[str, ...]
    url: str


class Subscribed(Struct, frozen=True):
    """The venue confirmed every stream of a connection: from here on, silence means that there are no events."""

    line: str
    symbols: tuple[str, ...]
    streams: tuple[str, ...]


class Disconnected(Struct, frozen=True):
    """A connection is lost. Events of its instruments until the next `Subscribed` may be missing."""

    line: str
    symbols: tuple[str, ...]
    reason: str
    failures: int = 1
    """Failures in a row, this one included."""
    lasting: bool = False
    """So many attempts have failed that it is an outage; they go on."""
    is_refusal: bool = False
    """The venue refuses the streams of these instruments; the connection carries the others."""


class Removed(Struct, frozen=True):
    """A line no longer carries some kinds of streams of these instruments: none of their messages follow."""

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]
    """The ended streams, named as in the setting `feed.streams`, klines by timeframe as in `kline_1m`."""
    is_gone: bool
    """No stream of them is left on any line."""


class Silent(Struct, frozen=True):
    """Streams without messages for longer than their usual pause, while their connection is up. Sent once, and again
    when their connection was opened anew and nothing has come since, until a `Speaking` names them.
    """

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]
    """The silent streams of each of these symbols, named as in the setting `feed.streams`, klines by timeframe."""
    for_ms: int
    """Time since their newest message, local ms."""
    whole_line: bool = False
    """No message at all arrives by this connection."""
    line_pause_ms: int = 0
    """Longest usual pause between two messages of a connection that is silent as a whole; 0 when not known."""


class Speaking(Struct, frozen=True):
    """Streams that were `Silent` have messages again."""

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]


class TradesRefused(Struct, frozen=True):
    """Trades of an instrument were refused before they reached its sequence: there may be a gap that no later id shows.
    Made by the step `validate`, not by a connection.
    """

    reason: str = ""


class TradingStatus(Struct, frozen=True):
    """The status of these symbols changed: in the venue's list of instruments, of which the process injects it, or by
    a stream of the venue.
    """

    symbols: tuple[str, ...]
    status: str
    """The venue's status, `TRADING` when they trade; empty when they are not listed."""

    @property
    def is_trading(self) -> bool:
        """Whether trades are to be expected."""
        return self.status == "TRADING"


class Backpressure(Struct, frozen=True):
    """The flow is so far behind that a connection had to wait for it."""

    line: str
    symbols: tuple[str, ...]
    frames: int
    """Messages that wait."""


class Flush(Struct, frozen=True):
    """A source has no more messages for the moment: what was held back for larger batches is emitted."""

    final: bool = False
    """The input has ended: everything is emitted."""


class RefreshRequest(Struct, frozen=True):
    """Request to refetch an instrument's history. Injected by the operator, not by a connection."""

    symbols: tuple[str, ...]
    request: str
    """Id of the request in its result."""
    timeframes: tuple[str, ...] = ()
    """Default: all."""
    start: int = 0
    """With `end` the span of open times `[start, end)`, ms UTC, as in `Work`; default the newest."""
    end: int = 0
    is_stored: bool = False
    """Publish the stored candles of the span again, and fetch nothing."""


Vouched: TypeAlias = Literal["all", ""]
"""`all`: by the exchange, or by its checksum. Empty: not at all; an intact file may have been packed incomplete."""


class Coverage(Struct, frozen=True):
    """All trades of an instrument in `[begin, end)`, ms UTC, are in the input: sent before the first of them, and again
    when it `is_over`.
    """

    symbols: tuple[str, ...]
    begin: int
    end: int
    name: str
    """Their source."""
    has_trades: bool = True
    """False: the source has only klines."""
    timeframe: str = ""
    """The klines' timeframe, for a file of these: it is sent before the first of them."""
    is_over: bool = False
    vouched: Vouched = "all"
    """What vouches that nothing is missing at its begin and end; in between the ids show it."""
    goes_on: bool = False
    """What follows these trades is read next, so that its first id shows whether they were all."""
    doubts: tuple[tuple[int, int], ...] = ()
    """Stretches in which the times of its trades contradict each other: first and last time, ms UTC."""


ConnectionEvent: TypeAlias = (
    Connected | Subscribed | Disconnected | Removed | Silent | Speaking | TradingStatus | Backpressure | RefreshRequest
)
