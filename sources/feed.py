"""The interface between a venue and its connections: addresses, requests, meaning of frames. No I/O.

A venue implements `VenueFeed`; the connections use it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias
from zlib import crc32

from msgspec import Struct, structs

from flows.names import SYMBOL_LENGTH, did_you_mean, is_symbol, nearest, shown

DesiredStreams: TypeAlias = Mapping[str, tuple[str, ...]]
"""Desired streams: by symbol the kinds, as in the setting `feed.streams` or `kline_1m` for klines of one timeframe; no
kinds: those of the setting.
"""


_CALM_KINDS = frozenset(("depth", "bookTicker", "ticker", "miniTicker", "markPrice"))
"""Kinds of streams that show a state, each message the next one of it."""


def is_calm(kind: str) -> bool:
    """Whether messages of this kind can wait some milliseconds for each other. Trades cannot."""
    return kind in _CALM_KINDS or kind.startswith("kline")


class Headers(dict[str, str]):
    """Headers of a handshake. Their values may be secret, and are not shown."""

    def __repr__(self) -> str:
        """The names alone."""
        return f"Headers({', '.join(self)})"


class ConnectionPlan(Struct, frozen=True):
    """One connection: its address and its streams."""

    line: str
    """Name of its stream group at the venue (`market`, `public`); it selects the parser's decoder."""
    url: str
    kinds: dict[str, tuple[str, ...]]
    """By symbol, the kinds of its streams, klines by timeframe."""
    names: dict[str, tuple[str, str]]
    """By the venue's name of each stream, its symbol and kind."""
    not_trading: frozenset[str] = frozenset()
    """Symbols that do not trade: their silence is no fault."""
    number: bytes = b""
    """What stands before the number of a frame, where the venue counts the frames of a connection: each number is the
    one before it plus one, or frames are missing.
    """
    heartbeat: str = ""
    """What `channel_of` calls the venue's regular sign of life, where a connection has one that comes whatever is
    traded: the connection lives as long as it comes, and is dead without it.
    """
    headers: Headers = Headers()
    """What the venue wants in the handshake besides."""
    second: "SecondLine | None" = None
    """What the second one of redundant connections carries, where the venue has another feed for that; None: the same.
    """

    @property
    def symbols(self) -> tuple[str, ...]:
        """The instruments on it."""
        return tuple(self.kinds)

    @property
    def calm(self) -> frozenset[str]:
        """The venue's names of those of its streams whose messages can wait some milliseconds for each other."""
        return frozenset(name for name, (_, kind) in self.names.items() if is_calm(kind))

    @property
    def streams(self) -> tuple[str, ...]:
        """The venue's names of its streams."""
        return tuple(self.names)

    @property
    def can_wait(self) -> bool:
        """Whether that is so of all of them."""
        return bool(self.names) and len(self.calm) == len(self.names)

    def emptied(self) -> "ConnectionPlan":
        """The same connection without anything on it."""
        second = None if self.second is None else structs.replace(self.second, plan=self.second.plan.emptied())
        return structs.replace(self, kinds={}, names={}, not_trading=frozenset(), second=second)


class SecondLine(Struct, frozen=True):
    """Another feed of a venue with streams of a plan. The line is up while either is, and its streams have one name."""

    feed: "LineFeed"
    plan: ConnectionPlan
    """Its address, and the streams that it has: some of the plan's, or all."""


IN_ORDER = -1
"""Id in a reply of a venue that names no request: its replies come in the order of the requests."""


class Ack(Struct, frozen=True):
    """The venue executed the request with this id."""

    id: int


class Refusal(Struct, frozen=True):
    """The venue refused a request."""

    reason: str
    """The venue's reason, `quoted`."""
    id: int | None = None
    """Id of the request, or `IN_ORDER`; None when the venue does not name it."""
    stream: str = ""
    """The only stream that it concerns, by the venue's name: the others of the request have replies of their own, and
    `id` is that of a request that is answered with this one. Empty: it concerns the whole request.
    """


class Shutdown(Struct, frozen=True):
    """The venue is about to close the connection; open a new one now."""


Control: TypeAlias = Ack | Refusal | Shutdown


class LineFeed(Protocol):
    """Requests and frames of a connection."""

    venue: str
    request_interval_s: float
    """Least time between two requests on a connection, within the venue's limit and with room for pongs."""

    def subscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """Requests `(id, text)` that subscribe the streams, as few as the venue allows."""

    def unsubscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """The same, to end streams."""

    def channel_of(self, frame: bytes) -> str:
        """The stream that a frame of data belongs to, by the venue's name; of a sign of life the plan's `heartbeat`;
        empty for any other frame. Called for every frame. Never raises, whatever the frame contains.
        """

    def control_of(self, frame: bytes) -> Control | None:
        """What a frame that carries no data means; None when it means nothing to a connection. Never raises, whatever
        the frame contains.
        """


class VenueFeed(LineFeed, Protocol):
    """The streams of one venue."""

    def plans(
        self,
        desired: DesiredStreams,
        current: Sequence[ConnectionPlan] = (),
        *,
        not_trading: frozenset[str] = frozenset(),
    ) -> list[ConnectionPlan]:
        """The connections for all `desired` streams. First those of `current`, in the same order: streams stay on their
        connection, and one that is not needed any more has no streams. Symbols `not_trading` may be silent.
        """


def shard_of(symbol: str, shards: int) -> int:
    """The shard of a symbol. It depends on the symbol alone, so adding one moves no other."""
    return crc32(symbol.encode()) % shards


_SYMBOL_NAMES_SHOWN = 3
_LIKENESS = 0.4


class UnknownSymbolError(Exception):
    """The venue does not trade an instrument of that name; the text names the nearest ones it does."""


def nearest_names(name: str, known: list[str]) -> list[str]:
    """The known names that are most like `name`, best first."""
    plain = "".join(filter(str.isalnum, name.upper()))[:SYMBOL_LENGTH]
    return nearest(plain, known, most=_SYMBOL_NAMES_SHOWN, likeness=_LIKENESS)


def check_symbols(wanted: tuple[str, ...], known: list[str]) -> None:
    """Raises `UnknownSymbolError` that names each wanted symbol the venue does not know, with its nearest
    neighbours.
    """
    known_names = set(known)
    lines = []
    for name in wanted:
        if name not in known_names:
            hint = did_you_mean(nearest_names(name, known))
            lines.append(f"{name if is_symbol(name) else shown(name)} is not traded there{hint}")
    if lines:
        raise UnknownSymbolError("\n".join(lines))
