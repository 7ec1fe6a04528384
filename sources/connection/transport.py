"""The WebSocket client library behind a seam: `transport_*.py` each put one of them behind it.

A transport hands over every message the moment it has it. What a message means, when to give up and when to come back
are for others to decide.
"""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from websockets.exceptions import InvalidURI
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from flows.foreign import quoted, visible
from flows.process.proxy import is_loopback
from flows.settings import SettingsError

MAX_MESSAGE_BYTES = 16 << 20
PING_S = 20.0
"""Our own pings: a socket that is dead without saying so is noticed after this and as long again."""
CLOSE_S = 1.0
"""Longest wait for the venue's part of the closing handshake."""

Receive: TypeAlias = Callable[[bytes], None]
"""Takes one message. Called on the event loop, for every message, so it is quick and never raises."""


_LONGEST_REASON = 400
_OWN_WORDS = (OSError, TimeoutError)


class TransportError(Exception):
    """The venue cannot be reached, or the socket has ended; the text says why."""

    def __init__(self, why: str) -> None:
        super().__init__(visible(why, limit=_LONGEST_REASON))


class Socket(Protocol):
    """An open connection."""

    async def send(self, text: str) -> None:
        """Sends a message; `TransportError` when the connection has ended."""

    def pause(self) -> None:
        """Leaves to the venue what has not been read yet; some that has been may still come."""

    def resume(self) -> None:
        """Reads on."""

    async def wait_ended(self) -> str:
        """Returns why the connection has ended, when it has. Raises what the receiver has raised."""

    async def close(self) -> None:
        """Ends it gracefully, at the latest after `CLOSE_S`. Harmless when it has ended already."""


class Open(Protocol):
    """Opens connections."""

    async def __call__(self, url: str, receive: Receive, *, timeout_s: float, ping_s: float = PING_S) -> Socket:
        """Connects; `TransportError` when that fails, or takes longer than `timeout_s`."""


def transport_of(name: Literal["websockets", "picows"]) -> Open:
    """The transport of the setting `feed.transport`; `SettingsError` when its library is not installed."""
    if name == "websockets":
        from sources.connection.websockets_transport import open_socket  # noqa: PLC0415 - only the chosen library is loaded

        return open_socket
    try:
        from sources.connection.picows_transport import open_socket as open_picows  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            "feed.transport is picows, which is not installed: install marketflow[fast], or choose websockets"
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
    """Why a connection has ended when the venue has closed it."""
    return f"closed by the venue: {code}" + (f", {quoted(text)}" if text else "")


def not_opened(error: Exception) -> TransportError:
    """A connection that could not be opened. What the library says of an answer may repeat parts of the answer."""
    text = str(error) or type(error).__name__
    return TransportError(text if isinstance(error, _OWN_WORDS) else quoted(text, by="the WebSocket client"))


def cut(why: str | None) -> str:
    """Why a connection has ended when nobody has closed it."""
    return f"line cut: {visible(why or '') or 'no close frame received'}"
