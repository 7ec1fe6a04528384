"""One line to one hub: connects, subscribes, resumes after a cut, and tries again with growing pauses."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import msgspec
import structlog
from msgspec import Struct
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

from api.board import Board
from api.heard import Heard, News, decode, decode_body, decode_snapshot, ms_of
from flows.clock import wall_ms
from sinks.outage import retry_delay_s

SNAPSHOT_BYTES: Final = 16 * 1024 * 1024
OPEN_TIMEOUT_S: Final = 5.0
PING_S: Final = 5.0
"""Time between two pings, and for the answer to one: a hub that hangs is noticed within twice that."""

_log = structlog.get_logger(__name__)


class Joined(Struct, frozen=True):
    """The line is up. Unless `resumed`, the state was replaced, and events may have been missed."""

    url: str
    venue: str
    resumed: bool


class Lost(Struct, frozen=True):
    """So many messages were lost here."""

    url: str
    dropped: int


class Cut(Struct, frozen=True):
    """The line is down; what is known stays, and ages."""

    url: str
    reason: str


LiveEvent: TypeAlias = News | Joined | Lost | Cut


class LineState(Struct):
    """How a line is."""

    url: str
    connected: bool = False
    since_ms: int = 0
    """Wall clock, ms UTC, since when that is so."""
    reason: str = "not tried yet"
    """Why it is down; "" when it is up."""
    reconnections: int = 0


class HubLine:
    """Follows a hub for as long as `run` is not cancelled, and keeps its board.

    The order is that of `seq`, each message once: what comes again after a cut or in a snapshot is not told again.
    """

    def __init__(
        self, url: str, *, token: str | None, channels: tuple[str, ...], tell: Callable[[LiveEvent], None]
    ) -> None:
        self._token = token
        self._channels = channels
        self._tell = tell
        self._resuming = False
        self._placed = False  # whether what comes now adds to what the board knows
        self._whole = False  # whether the board knows all that there was
        self._told = 0
        self.state = LineState(url, since_ms=wall_ms())
        self.board = Board("")
        self.seq = 0
        """Number of the newest message that was heard."""

    async def run(self) -> None:
        """Follows the hub."""
        failures = 0
        while True:
            try:
                reason = await self._follow()
            except (OSError, TimeoutError, WebSocketException, msgspec.MsgspecError, ValueError) as error:
                reason = _cause(error)
            failures = 1 if self.state.connected else failures + 1
            self._down(reason)
            await asyncio.sleep(retry_delay_s(failures))

    async def _follow(self) -> str:
        if not self._whole:
            self.seq = 0
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        self._resuming = self._placed = self.seq > 0
        async with connect(
            self._address(),
            additional_headers=headers,
            compression=None,
            max_size=SNAPSHOT_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=1.0,
        ) as hub:
            await hub.send(msgspec.json.encode({"op": "subscribe", "channels": self._channels}).decode())
            try:
                while True:
                    self._on_message(decode(await hub.recv()))
            except ConnectionClosed as closed:
                return str(closed)

    def _address(self) -> str:
        """With the channels in the address nothing is missed between the resumption and the first request."""
        query = {"channels": ",".join(self._channels)}
        if self.seq:
            query["resume_after"] = str(self.seq)
        return f"{self.state.url}?{urlencode(query)}"

    def _on_message(self, heard: Heard) -> None:
        match heard.type:
            case "Subscribed":
                self._on_joined(decode_body("Subscribed", heard.data))
            case "Snapshot":
                self._on_snapshot(heard)
            case "Reset":
                self._resuming = self._placed = self._whole = False
                self.seq = 0
            case "Lagged":
                self._tell(Lost(self.state.url, heard.dropped))
            case "Error":
                raise ValueError(f"the hub refuses the subscription: {decode_body('Error', heard.data)}")
            case _ if heard.seq > self.seq and self._placed:
                self._take(heard)

    def _on_joined(self, data: Any) -> None:
        if not self._resuming:
            if self.board.venue != data.venue:
                self.board = Board(data.venue)
            self.board.forget()
            self._placed = True
        self.board.origin = data.origin
        self._up(Joined(self.state.url, data.venue, resumed=self._resuming))

    def _on_snapshot(self, heard: Heard) -> None:
        if not self._placed:
            return
        part = decode_snapshot(heard.data)
        self.board.clock.observe(ms_of(heard.timestamp))
        for message in part.messages:
            if message.seq > self.seq:
                self._take(message)
        if part.complete:
            self._whole = True
            self.seq = max(self.seq, heard.seq)

    def _take(self, heard: Heard) -> None:
        self.seq = heard.seq
        body = decode_body(heard.type, heard.data)
        news = News(self.board.venue, heard.type, body, ms_of(heard.timestamp), heard.seq)
        self.board.take(news)
        if news.seq > self._told:
            self._told = news.seq
            self._tell(news)

    def _up(self, joined: Joined) -> None:
        self.state.connected, self.state.since_ms, self.state.reason = True, wall_ms(), ""
        _log.info("following the hub", url=joined.url, venue=joined.venue, resumed=joined.resumed)
        self._tell(joined)

    def _down(self, reason: str) -> None:
        if self.state.connected:
            self.state.connected, self.state.since_ms = False, wall_ms()
            self.state.reconnections += 1
            _log.warning("the hub is gone, trying again", url=self.state.url, reason=reason)
            self._tell(Cut(self.state.url, reason))
        self.state.reason = reason


def _cause(error: Exception) -> str:
    if isinstance(error, InvalidHandshake):
        return f"it refuses the connection: {error}"
    return str(error) or type(error).__name__
