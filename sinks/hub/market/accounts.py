"""What the hub does with balances, positions and states of accounts: the newest of each at most so often, the last one
at the end; what there is none of any more is sent once, and is no part of the state.
"""

from collections.abc import Callable
from typing import Final

from flows.clock import Now
from flows.model import AccountItem, AccountState, Balance, Position
from sinks.hub.market.state import StateCache
from sinks.hub.market.throttle import Conflator
from sinks.hub.messages import Message, Topic

ACCOUNT_MS: Final = 100
"""Least time between two versions of the same balance, position or state."""


class Accounts:
    """Those of one venue. They have nothing to do with which symbols are followed."""

    def __init__(self, venue: str, state: StateCache, emit: Callable[..., Message]) -> None:
        self._venue = venue
        self._state = state
        self._emit = emit
        self._held: Conflator[Topic, AccountItem] = Conflator(ACCOUNT_MS)

    def take(self, item: AccountItem, now: Now) -> None:
        """Sends it now, or the newest of its kind when the interval is over."""
        topic = self._topic(item)
        if self._held.submit(topic, item, now.local):
            self._send(topic, item, now)

    def release_due(self, now: Now) -> None:
        """Sends what was held long enough."""
        for item in self._held.take_due(now.local):
            self._send(self._topic(item), item, now)

    def release_all(self, now: Now) -> None:
        """Sends all that is held, for the close."""
        for item in self._held.take_all():
            self._send(self._topic(item), item, now)

    @property
    def next_deadline_ms(self) -> float | None:
        """Local time of the next `release_due`; None when nothing is held."""
        return self._held.next_deadline_ms

    def _topic(self, item: AccountItem) -> Topic:
        match item:
            case Balance():
                return Topic("Balance", venue=self._venue, of_account=f"{item.account} {item.asset}")
            case Position():
                return Topic("Position", item.symbol, venue=self._venue, of_account=f"{item.account} {item.side}")
            case AccountState():
                return Topic("Account", venue=self._venue, of_account=item.account)

    def _send(self, topic: Topic, item: AccountItem, now: Now) -> None:
        message = self._emit(topic, item, now, mergeable=True)
        if _is_nothing(item):
            self._state.drop(topic)
        else:
            self._state.put(message)


def _is_nothing(item: AccountItem) -> bool:
    match item:
        case Balance():
            return not item.total
        case Position():
            return not item.quantity
        case AccountState():
            return False
