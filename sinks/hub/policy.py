"""The hub's policy: what of the flow's items is sent, and how often. Pure: time is an argument, a client's connection
is a `Peer`. The methods are called by one thread.

    publish ─▶ throttle, state ─▶ `outlet.py`: number, replay buffer, clients
"""

from collections.abc import Iterable, Mapping
from typing import Final

from flows.clock import Now
from flows.model import Publishable
from sinks.hub.hub_settings import HubSettings
from sinks.hub.market.markets import Markets
from sinks.hub.messages import Message, Topic
from sinks.hub.outlet import Outlet
from sinks.hub.subscription import NamesOf, as_named

TICK_LIMIT: Final = 500
"""Messages after which a tick ends early."""


class Hub(Outlet):
    """Takes the items of all venues and sends the messages made of them."""

    def __init__(
        self, settings: HubSettings, *, origins: Mapping[str, str], first_seq: int, names_of: NamesOf = as_named
    ) -> None:
        """`origins` are those of the venues' data; the first venue is that of items which come without one. `names_of`
        gives the venues' own names of what clients write.
        """
        super().__init__(settings, origins=origins, first_seq=first_seq, names_of=names_of)
        self._markets = Markets(origins, rate=settings.rate, state=self._state, emit=self._emit, forget=self._forget)

    def publish(self, items: Iterable[Publishable], now: Now) -> None:
        """Takes items: `VenueItems`, or those that name their venue themselves. They are sent with the next `flush`, or
        at once when there are many.
        """
        for _ in self._markets.take(items, now):
            if len(self._tick) >= TICK_LIMIT:
                self.flush(now)

    def on_time(self, now: Now, venue: str = "") -> None:
        """Releases the held values of a venue that are due; `now` is in its time."""
        self._markets.on_time(now, venue)

    @property
    def next_deadline_ms(self) -> float | None:
        """Local time at which to call `on_time`; None: nothing is held."""
        return self._markets.next_deadline_ms

    def release(self, now: Now, venue: str = "") -> None:
        """Releases all held values of a venue, for the close."""
        self._markets.release(now, venue)

    def _emit(self, topic: Topic, item: object, now: Now, *, mergeable: bool = False) -> Message:
        return self._send(Message(topic, item, seq=self._next_seq(), stamp_ms=now.feed, mergeable=mergeable))
