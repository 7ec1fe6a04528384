"""One connection to one hub: connects, keeps alive, reconnects with backoff."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urlencode

import msgspec
import structlog
from msgspec import Struct
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

from api.live.hub_protocol import Cut, HubProtocol, HubRefusal, Joined, LiveEvent
from api.live.state import VenueState
from flows.backoff import backoff_s
from flows.clock import wall_ms
from flows.process.proxy import is_loopback
from flows.websocket import leaving

SNAPSHOT_BYTES: Final = 16 * 1024 * 1024
OPEN_TIMEOUT_S: Final = 5.0
PING_S: Final = 5.0
"""Ping interval and timeout: a hub that hangs is detected within twice that."""

_log = structlog.get_logger(__name__)


class ConnectionState(Struct):
    """State of the connection to a hub, or a bus."""

    url: str
    connected: bool = False
    since_ms: int = 0
    """Wall clock of the last change, ms UTC."""
    reason: str = "not tried yet"
    """Why it is down; "" while connected."""
    reconnections: int = 0
    kind: str = "hub"


class Connection(Protocol):
    """What the live view follows: a hub, or a bus."""

    state: ConnectionState

    @property
    def venue_state(self) -> VenueState:
        """The state of its first venue, without a name before it was connected once."""

    @property
    def venue_states(self) -> list[VenueState]:
        """The states of all its venues."""

    @property
    def seq(self) -> int:
        """Sequence number of the newest message received."""

    @property
    def is_up(self) -> bool:
        """Whether messages come as they are said."""

    async def run(self) -> None:
        """Follows until cancelled."""


class HubConnection:
    """Follows a hub until `run` is cancelled; passes every event to `on_event`."""

    def __init__(
        self, url: str, *, token: str | None, channels: tuple[str, ...], on_event: Callable[[LiveEvent], None]
    ) -> None:
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._protocol = HubProtocol(url, channels)
        self._on_event = on_event
        self.state = ConnectionState(url, since_ms=wall_ms())

    @property
    def venue_state(self) -> VenueState:
        """The state of the hub's first venue."""
        return self._protocol.venue_state

    @property
    def venue_states(self) -> list[VenueState]:
        """The states of all venues of the hub."""
        return self._protocol.venue_states

    @property
    def is_up(self) -> bool:
        """Whether it is connected."""
        return self.state.connected

    @property
    def seq(self) -> int:
        """Sequence number of the newest message received."""
        return self._protocol.seq

    async def run(self) -> None:
        """Connects and reconnects until cancelled."""
        failures = 0
        while True:
            try:
                reason = await self._follow()
            except (OSError, TimeoutError, WebSocketException, msgspec.MsgspecError, HubRefusal, ValueError) as error:
                reason = _cause(error)
            failures = 1 if self.state.connected else failures + 1
            self._down(reason)
            await asyncio.sleep(backoff_s(failures))

    async def _follow(self) -> str:
        """Follows one connection to its end and returns why it ended."""
        async with (
            connect(
                f"{self.state.url}?{urlencode(self._protocol.begin())}",
                additional_headers=self._headers,
                compression=None,
                proxy=None if is_loopback(self.state.url) else True,
                max_size=SNAPSHOT_BYTES,
                open_timeout=OPEN_TIMEOUT_S,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=1.0,
            ) as hub,
            leaving(hub),
        ):
            await hub.send(self._protocol.request())
            try:
                while True:
                    for event in self._protocol.on_frame(await hub.recv()):
                        if isinstance(event, Joined):
                            self._up(event)
                        self._on_event(event)
            except ConnectionClosed as closed:
                return str(closed)

    def _up(self, joined: Joined) -> None:
        if self.state.connected:
            _log.info("hub_began_anew", url=joined.url, venue=joined.venue)
            return
        self.state.connected, self.state.since_ms, self.state.reason = True, wall_ms(), ""
        _log.info("hub_connected", url=joined.url, venue=joined.venue, resumed=joined.resumed)

    def _down(self, reason: str) -> None:
        self._protocol.end()
        if self.state.connected:
            self.state.connected, self.state.since_ms = False, wall_ms()
            self.state.reconnections += 1
            _log.warning("hub_disconnected", url=self.state.url, reason=reason)
            self._on_event(Cut(self.state.url, reason))
        self.state.reason = reason


def _cause(error: Exception) -> str:
    if isinstance(error, InvalidHandshake):
        return f"it refuses the connection: {error}"
    return str(error) or type(error).__name__
