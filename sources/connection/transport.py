"""The interface to WebSocket client libraries; each `*_transport.py` implements it for one of them.

A transport delivers every message at once. The meaning of messages, timeouts and reconnection are decided elsewhere.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

from websockets.exceptions import InvalidURI
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from flows.foreign import quoted, visible
from flows.process.proxy import is_loopback
from flows.process.version import how_to_install

MAX_MESSAGE_BYTES = 16 << 20
PING_S = 20.0
"""Interval of our pings: a dead socket is noticed after twice this time."""
CLOSE_S = 1.0
"""Longest wait for the venue's part of the closing handshake."""

NO_HEADERS: Mapping[str, str] = {}

Receive: TypeAlias = Callable[[bytes], None]
"""Receives one message. Called on the event loop for every message: it must be fast and never raise."""


_LONGEST_REASON = 400
_OWN_WORDS = (OSError, TimeoutError)


class TransportError(Exception):
    """The venue cannot be reached, or the socket has ended; the text is the reason."""

    def __init__(self, why: str) -> None:
        super().__init__(visible(why, limit=_LONGEST_REASON))


class NotInstalledError(ValueError):
    """The library of `feed.transport` is not installed; the text has the remedy."""


class Socket(Protocol):
    """An open connection."""

    async def send(self, text: str) -> None:
        """Sends a message; `TransportError` when the connection has ended."""

    def pause(self) -> None:
        """Stops reading; messages that were read already may still be delivered."""

    def resume(self) -> None:
        """Resumes reading."""

    @property
    def descriptor(self) -> int:
        """Its file descriptor; -1 when it is closed."""

    async def wait_ended(self) -> str:
        """Waits for the end of the connection; returns the reason. Raises an error of the receiver."""

    async def close(self) -> None:
        """Closes it gracefully, within `CLOSE_S`. Does nothing when it has ended already."""


class Open(Protocol):
    """Opens connections."""

    async def __call__(
        self,
        url: str,
        receive: Receive,
        *,
        timeout_s: float,
        ping_s: float = PING_S,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Socket:
        """Connects; `TransportError` when that fails, or takes longer than `timeout_s`. `headers` are those of the
        handshake besides the usual ones.
        """


def transport_of(name: Literal["websockets", "picows"]) -> Open:
    """The transport of the setting `feed.transport`; `NotInstalledError` when its library is not installed."""
    if name == "websockets":
        from sources.connection.websockets_transport import open_socket  # noqa: PLC0415 - only the chosen library is loaded

        return open_socket
    try:
        from sources.connection.picows_transport import open_socket as open_picows  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise NotInstalledError(
            f"feed.transport is picows, which is not installed: {how_to_install('fast')}, or choose websockets"
        ) from error
    return open_picows


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address, the same for every transport; None to go there directly, as
    always to this machine.
    """
    if is_loopback(url):
        return None
    try:
        return get_proxy(parse_uri(url))
    except (InvalidURI, ValueError) as error:
        raise TransportError(str(error)) from error


def closed_by_venue(code: int, text: str | None) -> str:
    """The reason of an end when the venue has closed the connection."""
    return f"closed by the venue: {code}" + (f", {quoted(text)}" if text else "")


def not_opened(error: Exception) -> TransportError:
    """The error of a connection that could not be opened. The library's text may repeat parts of the answer."""
    text = str(error) or type(error).__name__
    return TransportError(text if isinstance(error, _OWN_WORDS) else quoted(text, by="the WebSocket client"))


def descriptor_of(transport: asyncio.BaseTransport | None) -> int:
    """The file descriptor of an event loop's transport; -1 without one."""
    opened = transport.get_extra_info("socket") if transport is not None else None
    return -1 if opened is None else opened.fileno()


def cut(why: str | None) -> str:
    """The reason of an end without a close frame."""
    return f"line cut: {visible(why or '') or 'no close frame received'}"
