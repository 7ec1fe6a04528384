"""The WebSocket broadcast, as the flow sees it: a writer that never waits.

    flow's threads ── write ─▶ Handoff ── one wake-up ─▶ own thread and loop: HubServer ─▶ Hub ─▶ ws://host:port/ws

`auth.py` decides on access; `policy.py` on what is sent, `outlet.py` on to which client; `payloads/` and
`replies.py` define the messages.
"""

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Final

import structlog

from flows.clock import FeedClock, wall_ms
from flows.loop_thread import EventLoopThread
from flows.model import MarketData, Publishable
from sinks.hub.fanout import Counters
from sinks.hub.handoff import Handoff
from sinks.hub.hub_settings import HubSettings
from sinks.hub.policy import Hub
from sinks.hub.server import HubServer
from sinks.hub.subscription import NamesOf, as_named

HANDOFF_ITEMS: Final = 100_000
"""Most items that wait for the hub's thread; beyond that the oldest are lost, and every client gets their number."""

_log = structlog.get_logger(__name__)


class Broadcast:
    """The hub, served by a thread of its own. `write` may be called from any thread, the rest from one.

    Errors after `start` are logged and do not reach the flow.
    """

    def __init__(
        self,
        settings: HubSettings,
        *,
        origins: Mapping[str, str],
        on_delay: Callable[[str, float], object] = lambda _, __: None,
        clocks: Mapping[str, FeedClock] | None = None,
        names_of: NamesOf = as_named,
    ) -> None:
        """`origins` are those of the venues' data; the first venue is that of items which come without one. `on_delay`
        is called with the venue and the delay of the newest item of a batch, in seconds of the feed's time. `clocks`
        are the flow's, by venue; without one messages are stamped by the wall clock. `names_of` gives the venues' own
        names of what clients write.
        """
        self._settings = settings
        self._hub = Hub(settings, origins=origins, first_seq=wall_ms() * 1_000, names_of=names_of)
        self._handoff: Handoff[Publishable] = Handoff(HANDOFF_ITEMS)
        self._server = HubServer(
            settings,
            hub=self._hub,
            handoff=self._handoff,
            clocks={venue: (clocks or {}).get(venue) or FeedClock() for venue in origins},
            on_delay=on_delay,
        )
        self._thread = EventLoopThread("broadcast")
        self._serving: Future[None] | None = None
        self.port = settings.port
        """The port it listens on, after `start`."""

    @property
    def counters(self) -> Counters:
        """Counts so far; the object is live."""
        return self._hub.counters

    @property
    def waiting(self) -> int:
        """Items that wait for the hub's thread, of `HANDOFF_ITEMS`."""
        return len(self._handoff)

    @property
    def published(self) -> dict[str, int]:
        """Messages so far, by channel."""
        return dict(self._hub.published)

    def start(self) -> None:
        """Opens the port and serves it. `OSError` when it cannot be opened, with a text for the user."""
        listener = _listen(self._settings.host, self._settings.port)
        self.port = listener.getsockname()[1]
        ready: Future[None] = Future()
        self._serving = self._thread.start(self._serve(listener, ready))
        try:
            ready.result()
        except BaseException:
            self.close()
            raise
        _log.info("broadcast_started", host=self._settings.host, port=self.port, token=self._settings.token is not None)

    def write(self, batch: list[Publishable]) -> None:
        """Takes items, those of one venue as `VenueItems`, and returns at once; the hub's thread is woken once for all
        that comes until it runs, and for prices at once. What else is made of the same messages follows within
        `FOLLOW_S` of the price, or with the next one. Lost before `start`, after `close`, and when more than
        `HANDOFF_ITEMS` wait.
        """
        if self._serving is None or not batch:
            return
        if self._handoff.put(batch, urgent=type(batch[0]) is MarketData):
            self._thread.call(self._server.wake)

    def close(self) -> None:
        """Gives the clients two seconds to read what waits for them, closes their connections with 1001 and ends the
        thread.
        """
        serving, self._serving = self._serving, None
        if serving is not None:
            self._thread.call(self._server.stop)
            wait([serving])
            self._thread.close()
            _log.info("broadcast_closed", sent=self.counters.sent, dropped=self.counters.dropped)

    async def _serve(self, listener: socket.socket, ready: "Future[None]") -> None:
        try:
            await self._server.run(listener, on_ready=lambda: ready.set_result(None))
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
            _log.exception("broadcast_ended")
            raise


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
        # accepted sockets inherit it; without it a small message waits for the client's delayed acknowledgement, 40 ms
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"cannot listen on {host}:{port} (hub.host, hub.port): {reason}") from error
    return listener
