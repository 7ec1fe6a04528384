"""What a venue's streams demand of a connection: where to go, what to say, what the answers mean. No I/O.

A venue implements `VenueFeed`; `connection.py` lives by it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias
from zlib import crc32

from msgspec import Struct, structs

from flows.names import SYMBOL_LENGTH, is_symbol, shown

Wishes: TypeAlias = Mapping[str, tuple[str, ...]]
"""What is wanted: symbols, and of each the kinds of streams in the words of the setting `feed.streams`, or as in
`kline_1m` for the klines of one timeframe; no kinds means those of that setting.
"""


class ConnectionPlan(Struct, frozen=True):
    """One connection: its address and everything it shall carry."""

    line: str
    """Which of the venue's lines it belongs to; the parser picks its decoder by it."""
    url: str
    kinds: dict[str, tuple[str, ...]]
    """By symbol, the kinds of its streams, klines by timeframe."""
    names: dict[str, tuple[str, str]]
    """By the venue's name of each stream, its symbol and kind."""
    quiet: frozenset[str] = frozenset()
    """Symbols whose silence means nothing."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The instruments on it."""
        return tuple(self.kinds)

    @property
    def streams(self) -> tuple[str, ...]:
        """The venue's names of its streams."""
        return tuple(self.names)

    def emptied(self) -> "ConnectionPlan":
        """The same connection without anything on it."""
        return structs.replace(self, kinds={}, names={}, quiet=frozenset())


class Ack(Struct, frozen=True):
    """The venue did what the request with this id asked."""

    id: int


class Refusal(Struct, frozen=True):
    """The venue refused a request."""

    reason: str
    """The venue's words, `quoted`."""
    id: int | None = None
    """The request's; None when the venue does not say which."""


class Shutdown(Struct, frozen=True):
    """The venue is about to close the connection; a new one is wanted now."""


Control: TypeAlias = Ack | Refusal | Shutdown


class VenueFeed(Protocol):
    """The streams of one venue."""

    venue: str
    request_interval_s: float
    """Least time between two requests on a connection, within the venue's limit and with room for pongs."""

    def plans(
        self, wishes: Wishes, current: Sequence[ConnectionPlan] = (), *, quiet: frozenset[str] = frozenset()
    ) -> list[ConnectionPlan]:
        """The connections that carry everything wanted. First those of `current`, in the same order: what is on one of
        them stays there, and one that is not needed any more has no streams. Symbols that are `quiet` may be silent.
        """

    def subscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """Requests `(id, text)` that subscribe the streams, as few as the venue allows."""

    def unsubscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """The same, to end streams."""

    def channel_of(self, frame: bytes) -> str:
        """The stream that a frame of data belongs to, by the venue's name; empty for a frame that is none. Called for
        every frame. Never raises, whatever the frame contains.
        """

    def control_of(self, frame: bytes) -> Control | None:
        """What a frame that carries no data means; None when it means nothing to a connection. Never raises, whatever
        the frame contains.
        """


def shard_of(symbol: str, shards: int) -> int:
    """The shard of a symbol. It depends on the symbol alone, so adding one moves no other."""
    return crc32(symbol.encode()) % shards


_SYMBOL_NAMES_SHOWN = 3


class UnknownSymbolError(Exception):
    """The venue does not trade an instrument of that name; the text names the nearest ones it does."""


def nearest_names(name: str, known: list[str]) -> list[str]:
    """The known names that are most like `name`, best first."""
    from difflib import get_close_matches  # noqa: PLC0415 - only on the way to an error

    plain = "".join(filter(str.isalnum, name.upper()))[:SYMBOL_LENGTH]
    return get_close_matches(plain, known, n=_SYMBOL_NAMES_SHOWN, cutoff=0.4)


def check_symbols(wanted: tuple[str, ...], known: list[str]) -> None:
    """Raises `UnknownSymbolError` that names each wanted symbol the venue does not know, with its nearest
    neighbours.
    """
    known_names = set(known)
    lines = []
    for name in wanted:
        if name not in known_names:
            near = nearest_names(name, known)
            lines.append(
                f"{name if is_symbol(name) else shown(name)} is not traded there"
                + (f"; did you mean {', '.join(near)}?" if near else "")
            )
    if lines:
        raise UnknownSymbolError("\n".join(lines))
