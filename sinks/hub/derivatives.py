"""What the hub does with mark prices, funding, open interest and liquidations: at most so many a second of an
instrument, the newest last; of liquidations each, and the newest ones are part of the state.
"""

from collections.abc import Callable, Container
from typing import Any, Final, TypeAlias

from flows.clock import Now
from flows.model import DerivativeUpdate, FundingState, Liquidation, MarkPrice, OpenInterest
from sinks.hub.messages import Message, Topic
from sinks.hub.state import StateCache
from sinks.hub.throttle import Conflator

LIQUIDATIONS_SHOWN: Final = 20
"""Newest liquidations of an instrument that a new client gets."""
CHANNEL_OF: Final[dict[type, str]] = {
    MarkPrice: "MarkPrice",
    FundingState: "Funding",
    OpenInterest: "OpenInterest",
    Liquidation: "Liquidation",
}

_Latest: TypeAlias = MarkPrice | FundingState | OpenInterest


class Derivatives:
    """Those of one venue: holds what comes too often, and remembers what new clients get. `emit` numbers and sends a
    message.
    """

    def __init__(self, venue: str, state: StateCache, emit: Callable[..., Message], *, interval_ms: float) -> None:
        self._venue = venue
        self._state = state
        self._emit = emit
        self._held: Conflator[tuple[str, str], _Latest] = Conflator(interval_ms)
        self._places: dict[str, int] = {}
        """By symbol, the number of its liquidations."""

    def take(self, item: DerivativeUpdate, now: Now) -> None:
        """Sends it now, or the newest of its kind and instrument when the interval is over."""
        if isinstance(item, Liquidation):
            self._emit_liquidation(item, now)
        elif self._held.submit((CHANNEL_OF[type(item)], item.symbol), item, now.local):
            self._emit_latest(item, now)

    def release_due(self, now: Now) -> None:
        """Sends what was held long enough."""
        for item in self._held.take_due(now.local):
            self._emit_latest(item, now)

    def release_all(self, now: Now) -> None:
        """Sends all that is held, for the close."""
        for item in self._held.take_all():
            self._emit_latest(item, now)

    @property
    def next_deadline_ms(self) -> float | None:
        """Local time of the next `release_due`; None when nothing is held."""
        return self._held.next_deadline_ms

    def forget(self, symbols: Container[str]) -> None:
        """Drops what is known of removed symbols."""
        self._held.forget(lambda key: key[1] in symbols)
        self._places = {symbol: place for symbol, place in self._places.items() if symbol not in symbols}

    def _emit_latest(self, item: _Latest, now: Now) -> None:
        topic = Topic(CHANNEL_OF[type(item)], item.symbol, venue=self._venue)
        self._state.put(self._emit(topic, item, now, mergeable=True))

    def _emit_liquidation(self, item: Any, now: Now) -> None:
        place = self._places[item.symbol] = self._places.get(item.symbol, -1) + 1
        message = self._emit(Topic("Liquidation", item.symbol, venue=self._venue), item, now)
        self._state.put(message, line=str(place % LIQUIDATIONS_SHOWN))
