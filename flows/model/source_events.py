"""What a source hands on beside market data: raw frames, and events of its connections."""

from typing import Literal, TypeAlias

from msgspec import Struct

TRADE_KINDS = frozenset(("aggTrade", "trade"))
"""Kinds of streams that bring trades, in the words of the setting `feed.streams`. Their ids show whether any trade is
missing.
"""


class StreamNames(Struct, frozen=True):
    """What may come by a connection, in the venue's names of its streams."""

    subscribed: frozenset[str]
    retired: frozenset[str] = frozenset()
    """Unsubscribed recently: messages of these are ignored, not refused."""


class RawFrames(Struct, frozen=True, gc=False):
    """Messages of one line, not yet understood, in the order of arrival: all that was there at one moment.

    They travel together because the engine costs by item, and decoding by call.
    """

    line: str
    """Which of the venue's lines they came by, e.g. `market` or `public`."""
    payloads: list[bytes]
    received_ns: int
    """Local wall clock when they were handed on, ns since the epoch: for logs, never for decisions."""
    streams: StreamNames | None = None
    """The streams that the connection carries; messages of any other are refused. None: every stream is taken, as of a
    recording.
    """


class Connected(Struct, frozen=True):
    """A line is open; nothing is subscribed yet."""

    line: str
    symbols: tuple[str, ...]
    url: str


class Subscribed(Struct, frozen=True):
    """The venue confirmed every stream of a line: from here on, silence means no news."""

    line: str
    symbols: tuple[str, ...]
    streams: tuple[str, ...]


class Disconnected(Struct, frozen=True):
    """A line is gone. What its instruments did until the next `Subscribed` may be missing."""

    line: str
    symbols: tuple[str, ...]
    reason: str
    failures: int = 1
    """Failures in a row, this one included."""
    lasting: bool = False
    """So many have failed that it is an outage; the attempts go on."""
    is_refusal: bool = False
    """The venue refuses the streams of these instruments; the connection carries the others."""


class Removed(Struct, frozen=True):
    """A line no longer carries some kinds of streams of these instruments: nothing of them comes behind this."""

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]
    """What has ended, in the words of the setting `feed.streams`, klines by timeframe as in `kline_1m`."""
    is_gone: bool
    """Nothing else is followed of them either, on whatever line."""


class Silent(Struct, frozen=True):
    """Streams that have said nothing for longer than they usually pause, while their connection is up. Sent once, until
    a `Speaking` names them.
    """

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]
    """The silent streams of each of these symbols, in the words of the setting `feed.streams`, klines by timeframe."""
    for_ms: int
    """How long ago the newest message of them came, local ms."""
    whole_line: bool = False
    """Nothing at all comes by this connection."""


class Speaking(Struct, frozen=True):
    """Streams that were `Silent` are heard again."""

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]


class TradesRefused(Struct, frozen=True):
    """Trades of an instrument were refused before they reached its sequence: there may be a hole that nothing behind it
    shows. Made by the step `validate`, not by a connection.
    """

    reason: str = ""


class TradingStatus(Struct, frozen=True):
    """The venue's list of instruments says something new of these symbols. Injected by the process, not by a
    connection.
    """

    symbols: tuple[str, ...]
    status: str
    """The venue's word, `TRADING` when they trade; empty when they are not listed."""

    @property
    def is_trading(self) -> bool:
        """Whether trades are to be expected."""
        return self.status == "TRADING"


class Backpressure(Struct, frozen=True):
    """The flow is so far behind that a line had to wait for it."""

    line: str
    symbols: tuple[str, ...]
    frames: int
    """Messages that wait."""


class Flush(Struct, frozen=True):
    """A source has nothing more to hand on for the moment: what was held back to make larger batches may go."""

    final: bool = False
    """Nothing will ever come again: everything must go."""


class RefreshRequest(Struct, frozen=True):
    """Somebody wants the past of an instrument fetched again, at once. No line says so: it comes from the operator's
    side, and takes the same way.
    """

    symbols: tuple[str, ...]
    request: str
    """Names the request in what is said of it later."""
    timeframes: tuple[str, ...] = ()
    """Default: all."""
    start: int = 0
    """With `end` the span of open times `[start, end)` that is wanted, ms UTC, as in `Work`; default the newest."""
    end: int = 0
    is_stored: bool = False
    """What is stored of the span is to be told again, and nothing is fetched."""


Vouched: TypeAlias = Literal["all", ""]
"""`all`: by the exchange, or by its checksum. Empty: not at all; a file that is as it was packed may have been packed
without some.
"""


class Coverage(Struct, frozen=True):
    """The trades of an instrument in `[begin, end)`, ms UTC, are all known: told before the first of them, and again
    when it `is_over`.
    """

    symbols: tuple[str, ...]
    begin: int
    end: int
    name: str
    """Where they come from."""
    has_trades: bool = True
    """False: only klines come from there."""
    timeframe: str = ""
    """Which klines, where it tells of one file of these: of such it is told before their first one."""
    is_over: bool = False
    vouched: Vouched = "all"
    """How sure it is that nothing is missing at its begin and at its end; in between the ids say so."""
    goes_on: bool = False
    """What follows these trades is read next, so that its first id tells whether they were all."""


ConnectionEvent: TypeAlias = (
    Connected | Subscribed | Disconnected | Removed | Silent | Speaking | TradingStatus | Backpressure | RefreshRequest
)
