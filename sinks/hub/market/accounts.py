"""What the hub does with balances, positions and states of accounts: the newest of each at most so often, the last one
at the end; what there is none of any more is sent once, and is no part of the state.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from flows.clock import Now
from flows.model import AccountItem, AccountState, Balance, Position
from sinks.hub.market.state import StateCache
from sinks.hub.market.throttle import Conflator
from sinks.hub.messages import Message, Topic
from sinks.hub.payloads import AccountBody, BalanceBody, PositionBody

ACCOUNT_MS: Final = 100
"""Least time between two versions of the same balance, position or state."""


class Accounts:
    """Those of one venue. They have nothing to do with which symbols are followed."""

    def __init__(self, venue: str, state: StateCache, emit: Callable[..., Message]) -> None:
        self._venue = venue
        self._state = state
        self._emit = emit
        self._held: Conflator[Topic, AccountItem] = Conflator(ACCOUNT_MS)
        self._states: Conflator[Topic, AccountState] = Conflator(ACCOUNT_MS)

    def take(self, item: AccountItem, now: Now) -> None:
        """Sends it now, or the newest of its kind when the interval is over."""
        topic = topic_of_account(item, self._venue)
        if isinstance(item, AccountState):
            if self._states.submit(topic, item, now.local):
                self._send_state(item, now)
        elif self._held.submit(topic, item, now.local):
            self._send(topic, item, now)

    def release_due(self, now: Now) -> None:
        """Sends what was held long enough."""
        for item in self._held.take_due(now.local):
            self._send(topic_of_account(item, self._venue), item, now)
        for state in self._states.take_due(now.local):
            self._send_state(state, now)

    def release_all(self, now: Now) -> None:
        """Sends all that is held, for the close."""
        for item in self._held.take_all():
            self._send(topic_of_account(item, self._venue), item, now)
        for state in self._states.take_all():
            self._send_state(state, now)

    @property
    def next_deadline_ms(self) -> float | None:
        """Local time of the next `release_due`; None when nothing is held."""
        found = (self._held.next_deadline_ms, self._states.next_deadline_ms)
        return min((one for one in found if one is not None), default=None)

    def _send_state(self, state: AccountState, now: Now) -> None:
        """Sends what is held of balances and positions first: no account is live with what was known before."""
        for item in self._held.take_all():
            self._send(topic_of_account(item, self._venue), item, now)
        self._send(topic_of_account(state, self._venue), state, now)

    def _send(self, topic: Topic, item: AccountItem, now: Now) -> None:
        message = self._emit(topic, item, now, mergeable=True)
        if is_nothing(item):
            self._state.drop(topic)
        else:
            self._state.put(message)


OfAccount: TypeAlias = AccountItem | BalanceBody | PositionBody | AccountBody
"""What is said of an account, as in the model or as in a message."""


def topic_of_account(item: OfAccount, venue: str) -> Topic:
    """The topic of what is said of an account; a later one replaces it."""
    match item:
        case Balance() | BalanceBody():
            return Topic("Balance", venue=venue, of_account=f"{item.account} {item.asset}")
        case Position() | PositionBody():
            return Topic("Position", item.symbol, venue=venue, of_account=f"{item.account} {item.side}")
        case AccountState() | AccountBody():
            return Topic("Account", venue=venue, of_account=item.account)


def is_nothing(item: OfAccount) -> bool:
    """Whether there is nothing of it any more."""
    match item:
        case Balance() | BalanceBody():
            return not item.total
        case Position() | PositionBody():
            return not item.quantity
        case _:
            return False
