"""The connection to a bus: reads the state, then everything that comes; reconnects with backoff, and goes on behind the
last message.

A node that begins reads the newest message of every subject, and those of the last `ring` numbers before that, so that
clients of other nodes can resume at it. It needs nothing of any other node.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import Final

import structlog

from api.live.bus_protocol import BusProtocol
from api.live.connection import ConnectionState
from api.live.hub_protocol import Cut, LiveEvent
from api.live.state import VenueState
from flows.backoff import backoff_s
from flows.clock import monotonic_ms, wall_ms
from flows.settings import Bus
from sinks.bus.client import BusClient, check_credentials, connected, shown
from sinks.bus.stored import BusError, Stored
from sinks.bus.subjects import filters

__all__ = ["BusConnection", "check_credentials"]

BEHIND_MS: Final = 30_000
"""How long a server may lack what another one had, as one does that was cut off from the others and leads no more."""

_log = structlog.get_logger(__name__)


class BusConnection:
    """Follows a bus until `run` is cancelled; passes every event to `on_event`."""

    def __init__(
        self, settings: Bus, on_event: Callable[[LiveEvent], None], *, venues: Iterable[str], ring: int
    ) -> None:
        """`venues` are those that are read. Messages of the last `ring` numbers are read for clients that resume."""
        self._settings = settings
        venues = tuple(venues)
        self._subjects = filters(venues, accounts=settings.accounts)
        self._ring = ring
        self._on_event = on_event
        url = ",".join(map(shown, settings.url))
        self._protocol = BusProtocol(url, venues)
        self.state = ConnectionState(url, since_ms=wall_ms(), kind="bus")
        self._is_up = False
        self._created: datetime | None = None
        """When the stream was made that is read."""
        self._behind_since = 0

    @property
    def venue_states(self) -> list[VenueState]:
        """The states of all flows and venues."""
        return self._protocol.venue_states

    @property
    def venue_state(self) -> VenueState:
        """The first of them, without a name before the state was read once."""
        return self._protocol.venue_states[0] if self._protocol.has_begun else VenueState("")

    @property
    def is_up(self) -> bool:
        """Whether the stream is read, also where no flow has published about a venue."""
        return self._is_up

    @property
    def seq(self) -> int:
        """Number of the newest message received."""
        return self._protocol.seq

    async def run(self) -> None:
        """Connects and reconnects until cancelled."""
        failures = 0
        while True:
            try:
                await self._follow()
            except BusError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001
                _log.exception("bus_reader_failed")  # a bug must not end the node's view for good
                reason = repr(error)
            failures = 1 if self._is_up else failures + 1
            self._down(reason)
            await asyncio.sleep(backoff_s(failures))

    async def _follow(self) -> None:
        """Follows one connection to its end, which is a `BusError`."""
        async with connected(self._settings, "marketflow api") as client:
            span = await client.span()
            seq = self._protocol.seq
            is_same, self._created = self._created == span.created, span.created
            if self._protocol.has_begun and is_same and seq > span.last and not self._is_behind_for_long():
                raise BusError(f"the stream ends at {span.last} there, before {seq}: that server is behind")
            self._behind_since = 0
            if self._protocol.has_begun and is_same and span.first - 1 <= seq <= span.last:
                await self._read(client, after=seq, earlier=None, resumes=True)
            else:
                await self._begin(client)
                first = max(0, span.first - 1, self._protocol.seq - self._ring)  # an empty stream begins at 0
                await self._read(client, after=first, earlier=[])

    def _is_behind_for_long(self) -> bool:
        """Whether what is read was not there for `BEHIND_MS`."""
        self._behind_since = self._behind_since or monotonic_ms()
        return monotonic_ms() - self._behind_since > BEHIND_MS

    async def _begin(self, client: BusClient) -> None:
        newest: list[Stored] = []
        async with aclosing(client.read(self._subjects, newest_of_each=True)) as messages:
            async for stored in messages:
                if stored.seq:
                    newest.append(stored)
                if not stored.pending:
                    break
        newest.sort(key=lambda one: one.seq)
        for event in self._protocol.begin(newest, newest[-1].seq if newest else 0):
            self._emit(event)
        self._up()

    async def _read(
        self, client: BusClient, *, after: int, earlier: list[Stored] | None, resumes: bool = False
    ) -> None:
        """Reads what comes; first, into `earlier`, what came before the state."""
        begin = self._protocol.seq

        def take(stored: Stored) -> None:
            nonlocal resumes, earlier
            if resumes:  # not before the server reads: while it has no leader it may refuse that
                resumes = False
                self._emit(self._protocol.resume())
                self._up()
            if earlier is not None:
                if 0 < stored.seq <= begin:
                    earlier.append(stored)
                if stored.seq > begin or not stored.pending:
                    self._emit(self._protocol.earlier(earlier))
                    earlier = None
            if stored.seq > begin:
                self._take(stored)

        await client.follow(self._subjects, take, after=after)

    def _take(self, stored: Stored) -> None:
        for event in self._protocol.on_message(stored):
            self._emit(event)
        if not self.state.connected:
            self._up()

    def _emit(self, event: LiveEvent) -> None:
        self._on_event(event)

    def _up(self) -> None:
        """The bus is read. It counts as connected when a flow has published about every venue."""
        self._is_up = True
        if absent := self._protocol.absent:
            self.state.reason = f"no flow has published about {', '.join(absent)} yet"
        elif not self.state.connected:
            self.state.connected, self.state.since_ms, self.state.reason = True, wall_ms(), ""
            _log.info("bus_connected", url=self.state.url, seq=self._protocol.seq)

    def _down(self, reason: str) -> None:
        self._protocol.on_connection(is_up=False)
        if self._is_up:
            self._is_up = False
            self.state.reconnections += 1
            _log.warning("bus_disconnected", url=self.state.url, reason=reason)
            self._on_event(Cut(self.state.url, reason))
        if self.state.connected:
            self.state.connected, self.state.since_ms = False, wall_ms()
        self.state.reason = reason
