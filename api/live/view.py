"""The current state of the market from the hubs: for the API, and for any program.

    async with LiveView("ws://127.0.0.1:8765/ws") as live:
        print(live.price("BTCUSDT"))
        async for event in live:
            print(event)

It reconnects to each hub and resumes after the last message; when the hub no longer holds the following ones, the
state is replaced, and `Joined.resumed` is false. State without new messages stays, and its age grows; removed symbols
are dropped.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final, Self

import structlog
from msgspec import Struct

from api.live.candle_cache import CandleCache, SeriesKey
from api.live.connection import Connection, HubConnection
from api.live.freshness import State, channel_state_of, clock_of, state_of
from api.live.hub_protocol import Cut, Earlier, Joined, LiveEvent, Lost, Replaced
from api.live.messages import HubMessage, candle_of
from api.live.state import VenueState
from api.live.venue_time import TICK_S
from flows.clock import monotonic_ms
from flows.model import Candle
from sinks.hub.messages import CHANNELS
from sinks.hub.payloads import HeartbeatBody

__all__ = ["Cut", "HubMessage", "Joined", "LiveEvent", "LiveView", "Lost", "Tick"]

DEFAULT_CHANNELS: Final = tuple(channel for channel in CHANNELS if channel not in {"ChartUpdate", "Trade"})
"""Default channels: `ChartUpdate` adds nothing to `Candle`, and trades are many. Those of accounts come with a token
that has the right."""
EVENTS_HELD: Final = 10_000
"""Queue limit of an `async for`; then the oldest events are dropped, and a `Lost` has their number."""

_log = structlog.get_logger(__name__)


class Tick(Struct, frozen=True):
    """Price, best bid and best ask of an instrument; None where unknown. `age_ms` is that of the price."""

    venue: str
    symbol: str
    price: float
    bid: float | None
    ask: float | None
    age_ms: int


class LiveView:
    """Follows hubs while entered. Its methods never block; call them in the event loop's thread.

    Symbols are the venue's own names; without `venue` the first hub that has the symbol is used.
    """

    def __init__(
        self,
        *urls: str,
        token: str | None = None,
        channels: tuple[str, ...] = DEFAULT_CHANNELS,
        cache_size: int = 500,
        local_ms: Callable[[], int] = monotonic_ms,
        bus: Callable[[Callable[[LiveEvent], None]], Connection] | None = None,
    ) -> None:
        """`bus` opens a connection to a bus, which is followed in place of hubs."""
        self.candles = CandleCache(cache_size)
        """Newest candles, including forming ones."""
        self.connections: list[Connection] = [
            HubConnection(url, token=token, channels=channels, on_event=self._on_event) for url in urls
        ]
        self.is_bus = bus is not None
        """Whether `seq` is the stream's, the same wherever it is read."""
        if bus:
            self.connections.append(bus(self._on_event))
        self._local_ms = local_ms
        self._listeners: dict[object, Callable[[LiveEvent], object]] = {}
        self._relays: list[Callable[[LiveEvent], object]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._joined = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(connection.run(), name=f"hub {connection.state.url}") for connection in self.connections
        ]
        self._tasks.append(asyncio.create_task(self._tick(), name="hub clocks"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _tick(self) -> None:
        while True:
            for connection in self.connections:
                for venue_state in connection.venue_states:
                    venue_state.clock.tick()
            await asyncio.sleep(TICK_S)

    async def joined(self) -> None:
        """Waits until every hub was connected once."""
        await self._joined.wait()

    # --- state ---

    def venue_states(self, venue: str | None = None) -> Iterator[VenueState]:
        """The states of the hubs of a venue, or of all."""
        return (
            venue_state
            for connection in self.connections
            for venue_state in connection.venue_states
            if venue_state.venue and venue in (None, venue_state.venue)
        )

    def latest(self, channel: str, symbol: str, venue: str | None = None) -> tuple[HubMessage, int] | None:
        """The newest message of a channel about a symbol, and its age in milliseconds."""
        for venue_state in self.venue_states(venue):
            if message := venue_state.latest(channel, symbol):
                return message, venue_state.age_ms(message)
        return None

    def state(self, symbol: str, venue: str | None = None, channels: Sequence[str] = ()) -> State | None:
        """State of the first of these channels that the instrument has, or of the instrument; `unknown` without
        heartbeats of the flow. None: the flow publishes no states.
        """
        return state_of(self.venue_states(venue), symbol, channels)

    def channel_state(self, symbol: str, venue: str | None, channels: Sequence[str]) -> State | None:
        """The same for a channel that an instrument need not have: None also where it has none of these."""
        return channel_state_of(self.venue_states(venue), symbol, channels)

    def clock(self, symbol: str, venue: str | None = None) -> str | None:
        """The clock of an instrument's ages: `sure` or `unsure`. None: the flow publishes no states."""
        return clock_of(self.venue_states(venue), symbol)

    def price(self, symbol: str, venue: str | None = None) -> float | None:
        """The latest price."""
        found = self.latest("MarketData", symbol, venue)
        return found[0].body.price if found else None

    def tick(self, symbol: str, venue: str | None = None) -> Tick | None:
        """Price, best bid and best ask; None before the first price."""
        found = self.latest("MarketData", symbol, venue)
        if found is None:
            return None
        message, age_ms = found
        bid, ask = self._best(symbol, message.venue)
        return Tick(message.venue, symbol, message.body.price, bid, ask, age_ms)

    def _best(self, symbol: str, venue: str) -> tuple[float | None, float | None]:
        """Best bid and ask of the book, or where no book is followed, of the venue's own ticker."""
        if book := self.latest("OrderBook", symbol, venue):
            bids, asks = book[0].body.bids, book[0].body.asks
            return bids[0][0] if bids else None, asks[0][0] if asks else None
        if ticker := self.latest("BookTicker", symbol, venue):
            return ticker[0].body.bid_price or None, ticker[0].body.ask_price or None
        return None, None

    def forming(self, symbol: str, timeframe: str, venue: str | None = None) -> Candle | None:
        """The newest candle: the forming one, or the last closed one when the next has not begun."""
        for venue_state in self.venue_states(venue):
            if held := self.candles.contents(SeriesKey(venue_state.venue, symbol, timeframe)):
                return held[-1]
        return None

    def symbols(self, venue: str | None = None) -> AbstractSet[str]:
        """The symbols that the hubs report."""
        return frozenset().union(*(venue_state.symbols() for venue_state in self.venue_states(venue)))

    def seq(self, venue: str, symbol: str) -> int:
        """Newest sequence number of the hub that reports an instrument; 0 without one. A client that resumes after it
        misses nothing that is not in this view.
        """
        connections = (
            connection
            for connection in self.connections
            if any(one.venue == venue and symbol in one.symbols() for one in connection.venue_states)
        )
        return next((connection.seq for connection in connections), 0)

    # --- events ---

    def subscribe(self, callback: Callable[[LiveEvent], object]) -> Callable[[], None]:
        """Calls `callback` with every later event except heartbeats; the returned function unsubscribes. An exception
        of a callback is logged, and does not affect the others.
        """
        ticket = object()
        self._listeners[ticket] = callback
        return lambda: self._listeners.pop(ticket, None) and None

    def relay_to(self, callback: Callable[[LiveEvent], object]) -> None:
        """Calls `callback` with every later event, heartbeats and `Replaced` too, as a relay of the hubs needs them."""
        self._relays.append(callback)

    def __aiter__(self) -> AsyncIterator[LiveEvent]:
        """Iterates over later events."""
        return _Events(self)

    def _on_event(self, event: LiveEvent) -> None:
        self._call(self._relays, event)
        if isinstance(event, Replaced | Earlier):
            return
        if isinstance(event, HubMessage):
            if isinstance(event.body, HeartbeatBody):
                return
            if event.channel == "Candle":
                self.candles.put(candle_of(event.body, venue=event.venue), self._local_ms())
            elif event.channel == "Status" and event.body.state == "removed":
                self.candles.forget(event.venue, event.body.symbols)
        else:
            self._on_connection_event(event)
        self._call(self._listeners.values(), event)

    @staticmethod
    def _call(listeners: Iterable[Callable[[LiveEvent], object]], event: LiveEvent) -> None:
        for listener in list(listeners):
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - foreign code: the other callbacks still run
                _log.exception("callback_failed", event_type=type(event).__name__)

    def _on_connection_event(self, event: Joined | Lost | Cut) -> None:
        if isinstance(event, Lost) or (isinstance(event, Joined) and not event.resumed):
            for venue_state in self.venue_states():
                self.candles.invalidate(venue_state.venue, self._local_ms())
        if all(connection.venue_state.venue for connection in self.connections):
            self._joined.set()


class _Events:
    """A bounded queue of events for one `async for`."""

    def __init__(self, live: LiveView) -> None:
        self._waiting: deque[LiveEvent] = deque()
        self._dropped = 0
        self._arrived = asyncio.Event()
        put = weakref.WeakMethod(self._put)

        def pass_on(event: LiveEvent) -> None:
            if own := put():
                own(event)

        weakref.finalize(self, live.subscribe(pass_on))  # an `async for` that is left only drops its iterator

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LiveEvent:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return Lost("", dropped)
        return self._waiting.popleft()

    def _put(self, event: LiveEvent) -> None:
        if len(self._waiting) == EVENTS_HELD:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._arrived.set()
