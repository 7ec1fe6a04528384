"""The items of all venues on their way to the clients: each goes to the `VenueMarket` of its venue. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from flows.clock import Now
from flows.model import Publishable, VenueItems
from sinks.hub.market.state import StateCache
from sinks.hub.market.venue_market import Emit, VenueMarket
from sinks.hub.messages import Topic


class Markets:
    """Those of all venues. What they send goes to `emit`, and stays in `state` as far as it is a state."""

    def __init__(
        self,
        origins: Mapping[str, str],
        *,
        rate: float,
        state: StateCache,
        emit: Emit,
        forget: Callable[[Callable[[Topic], bool]], None],
    ) -> None:
        """`origins` are those of the venues' data; the first venue is that of items which come without one. The rest
        is as for `VenueMarket`.
        """
        self._of = {
            venue: VenueMarket(venue, origin=origin, rate=rate, state=state, emit=emit, forget=forget)
            for venue, origin in origins.items()
        }
        self._first = next(iter(self._of.values()))

    def take(self, items: Iterable[Publishable], now: Now) -> Iterator[None]:
        """Takes items, `VenueItems` or those that name their venue themselves; yields behind each of them."""
        market = self._of.get(items.venue) if isinstance(items, VenueItems) else None
        for item in items:
            (market or self._of.get(getattr(item, "venue", ""), self._first)).take(item, now)
            yield

    def on_time(self, now: Now, venue: str = "") -> None:
        """Releases the held values of a venue that are due; `now` is in its time."""
        self._of.get(venue, self._first).on_time(now)

    @property
    def next_deadline_ms(self) -> float | None:
        """Local time at which to call `on_time`; None: nothing is held."""
        deadlines = (market.next_deadline_ms for market in self._of.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def release(self, now: Now, venue: str = "") -> None:
        """Releases all held values of a venue, for the close."""
        self._of.get(venue, self._first).release(now)
