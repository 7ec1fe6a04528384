"""When the symbols of a market trade: one may be listed, halted and delisted while the market runs.

Times are ms UTC of the exchange. What a market has made already stands: a change that is ordered for an earlier time
comes at its end.
"""

import threading
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from flows.texts import refusal_in

Word: TypeAlias = Literal["list", "halt", "resume", "delist"]
MOST_CHANGES: Final = 1_000
"""Most changes of one symbol."""
_LATER_MS: Final = 10**15


class State(Enum):
    """What a symbol is."""

    UNLISTED = "unlisted"
    """The exchange does not know it yet."""
    TRADING = "trading"
    HALTED = "halted"
    DELISTED = "delisted"
    """For good."""


_TURNS: Final[Mapping[tuple[State, Word], State]] = {
    (State.UNLISTED, "list"): State.TRADING,
    (State.TRADING, "halt"): State.HALTED,
    (State.HALTED, "resume"): State.TRADING,
    (State.TRADING, "delist"): State.DELISTED,
    (State.HALTED, "delist"): State.DELISTED,
}
"""What a change makes of a state; any other change of it is none."""


class Change(NamedTuple):
    """A change of a symbol, at a time."""

    at_ms: int
    word: Word


class Turn(NamedTuple):
    """From when on a symbol has a state."""

    at_ms: int
    state: State


class Life:
    """The life of one symbol. Any thread may read it while `Lives` changes it."""

    def __init__(self, changes: Iterable[Change] = (), *, is_listed: bool = True) -> None:
        """`is_listed`: whether the exchange knows it from the begin on."""
        self.is_listed_at_begin = is_listed
        self._changes: tuple[Change, ...] = ()
        self._turns: tuple[Turn, ...] = ()
        self.add(*changes)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Its states, past and coming, ascending; the first from the begin on."""
        return self._turns

    def add(self, *changes: Change) -> None:
        """Adds changes; `ValueError` when they are too many."""
        known = tuple(sorted({*self._changes, *changes}))
        if len(known) > MOST_CHANGES:
            raise ValueError(f"a symbol may change {MOST_CHANGES} times")
        turns = [Turn(0, State.TRADING if self.is_listed_at_begin else State.UNLISTED)]
        for change in known:
            state = _TURNS.get((turns[-1].state, change.word))
            if state is not None:
                turns.append(Turn(change.at_ms, state))
        self._changes, self._turns = known, tuple(turns)

    def state(self, time_ms: int) -> State:
        """Its state at a time."""
        turns = self._turns
        return turns[_place(turns, time_ms)].state

    def trades_within(self, begin_ms: int, end_ms: int) -> bool:
        """Whether it trades at any time from `begin_ms` to before `end_ms`."""
        turns = self._turns
        first, last = _place(turns, begin_ms), _place(turns, end_ms - 1)
        return any(turn.state is State.TRADING for turn in turns[first : last + 1])

    def begin_of(self, state: State, until_ms: int) -> int | None:
        """When it first came to a state, by `until_ms`; None when it did not, or began with it."""
        begins = (turn.at_ms for turn in self._turns[1:] if turn.state is state and turn.at_ms <= until_ms)
        return next(begins, None)


def _place(turns: tuple[Turn, ...], time_ms: int) -> int:
    return max(bisect_right(turns, time_ms, key=lambda turn: turn.at_ms) - 1, 0)


ALWAYS: Final = Life()
"""The life of a symbol that trades all the time."""


class LifeOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """A change of a symbol that is ordered while the market runs."""

    symbol: str
    change: Word
    after_s: float = 0.0
    """Seconds of the exchange's time until then."""
    for_s: float | None = None
    """Of a halt: after how many seconds it trades again; without it when it is ordered."""


def decode_life(body: bytes) -> LifeOrder:
    """The order in a JSON text; `ValueError` says what is wrong with it."""
    try:
        order = msgspec.json.decode(body, type=LifeOrder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(refusal_in(body, error, LifeOrder)) from None
    if not 0 <= order.after_s <= _LATER_MS / 1_000:
        raise ValueError("after_s: seconds from 0 on")
    if order.for_s is not None and not (order.change == "halt" and 0 < order.for_s <= _LATER_MS / 1_000):
        raise ValueError("for_s: seconds above 0, of a halt")
    return order


class Lives:
    """The lives of the symbols of a market that can change them; without any they all trade all the time."""

    def __init__(self, lives: Mapping[str, Life] | None = None) -> None:
        self._lives = dict(lives or {})
        self._lock = threading.Lock()
        self._made_ms = 0

    def life(self, symbol: str) -> Life:
        """The life of a symbol."""
        return self._lives.get(symbol, ALWAYS)

    def make(self, end_ms: int) -> None:
        """The market is made up to a time now, in any thread: its states until then stand."""
        with self._lock:
            self._made_ms = end_ms

    def order(self, order: LifeOrder, now_ms: int) -> None:
        """Changes a symbol; `ValueError` for one that has no life to change, or to which the change does nothing."""
        life = self._lives.get(order.symbol)
        if life is None:
            names = ", ".join(self._lives) or "none"
            raise ValueError(f"no symbol {order.symbol} of a synthetic market; it has {names}")
        with self._lock:
            at_ms = max(now_ms + int(order.after_s * 1_000), self._made_ms)
            before = life.state(at_ms)
            if (before, order.change) not in _TURNS:
                raise ValueError(f"{order.symbol} is {before.value} then: {order.change} changes nothing")
            changes = [Change(at_ms, order.change)]
            if order.for_s is not None:
                changes.append(Change(at_ms + int(order.for_s * 1_000), "resume"))
            life.add(*changes)

    def report(self, now_ms: int) -> dict[str, Any]:
        """The state of each symbol, and the changes that come."""
        return {
            symbol: {
                "state": life.state(now_ms).value,
                "coming": [
                    {"at": turn.at_ms, "state": turn.state.value} for turn in life.turns[1:] if turn.at_ms > now_ms
                ],
            }
            for symbol, life in self._lives.items()
        }
