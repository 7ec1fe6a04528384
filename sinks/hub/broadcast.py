"""The WebSocket broadcast, as the flow sees it: a writer that never waits.

    flow's threads ── write ─▶ Inbox ── one wake-up ─▶ own thread and loop: HubServer ─▶ Hub ─▶ ws://host:port/ws

Who may come in, and how the others are refused, is in `auth.py`; who is sent what, and what happens to the slow, in
`policy.py`; the form of the messages in `payloads.py` and `replies.py`.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import structlog

from flows.clock import FeedClock, wall_ms
from flows.model import Publishable
from flows.settings import Hub as HubSettings
from sinks.hub.handoff import Inbox
from sinks.hub.policy import Counters, Hub
from sinks.hub.server import HubServer

INBOX_ITEMS: Final = 100_000
"""News that wait for the hub's thread; beyond that the oldest are lost, and every client is told how many."""

_log = structlog.get_logger(__name__)


class Broadcast:
    """The hub, served by a thread of its own. `write` may be called from any thread, the rest from one.

    What goes wrong after `start` is logged and stays here: the flow never hears of it.
    """

    def __init__(
        self,
        settings: HubSettings,
        *,
        venue: str,
        origin: str,
        on_delay: Callable[[float], object] = lambda _: None,
        clock: FeedClock | None = None,
    ) -> None:
        """`on_delay` is called with how many seconds of the feed's time the newest of a batch took to get here.
        `clock` is the flow's, of the venue; without it messages are stamped by the wall clock.
        """
        self._settings = settings
        self._hub = Hub(settings, venue=venue, origin=origin, first_seq=wall_ms() * 1_000)
        self._inbox: Inbox[Publishable] = Inbox(INBOX_ITEMS)
        self._server = HubServer(
            settings, hub=self._hub, inbox=self._inbox, clock=clock or FeedClock(), on_delay=on_delay
        )
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.port = settings.port
        """The port it listens on, after `start`."""

    @property
    def counters(self) -> Counters:
        """What it has done; the figures move on."""
        return self._hub.counters

    @property
    def published(self) -> dict[str, int]:
        """Messages so far, by channel."""
        return dict(self._hub.published)

    def start(self) -> None:
        """Opens the port, and serves it from now on. `OSError` when it cannot be opened, with a text for people."""
        listener = _listen(self._settings.host, self._settings.port)
        self.port = listener.getsockname()[1]
        # the engine opens, and so closes, a sink only if it ever had an item: the thread must not keep the process
        self._thread = threading.Thread(target=self._run, args=(listener,), name="broadcast", daemon=True)
        self._thread.start()
        self._loop = self._started.result()
        _log.info("broadcasting", host=self._settings.host, port=self.port, token=self._settings.token is not None)

    def write(self, batch: list[Publishable]) -> None:
        """Takes news and returns at once; the hub's thread is woken once for all that comes before it looks. Lost
        before `start`, after `close`, and when more than `INBOX_ITEMS` wait.
        """
        if self._loop is not None and batch and self._inbox.put(batch):
            self._call(self._loop, self._server.wake)

    def close(self) -> None:
        """Gives the clients two seconds to read what waits for them, closes them with 1001 and ends the thread."""
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            self._call(loop, self._server.stop)
            self._thread.join()
            _log.info("broadcast closed", sent=self.counters.sent, dropped=self.counters.dropped)

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the start, and logged
            if not self._started.done():
                self._started.set_exception(error)
            _log.exception("the broadcast ended")

    async def _serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await self._server.run(listener, on_ready=lambda: self._started.set_result(loop))

    @staticmethod
    def _call(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(act)
        except RuntimeError:
            _log.debug("the broadcast has ended, news are not sent")


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
