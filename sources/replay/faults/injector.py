"""Active faults, oldest first."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from sources.replay.faults.budget import Budget
from sources.replay.faults.forms import BINANCE, Forms
from sources.replay.faults.orders import (
    ClockSkew,
    MessageFault,
    OddReply,
    Refuse,
    RefuseSubscribe,
    ReplyFault,
    RestFault,
    StaleDepth,
    WrongAnswer,
)
from sources.replay.faults.replies import Text, answer_truly, answer_wrongly, concerns, most_bytes_of
from sources.replay.faults.transforms import Transform, WithClock, start_transform, with_clock
from sources.replay.market.market import Market, Message
from sources.replay.protocol.conversation import Requests

MOST_FAULTS = 100
MOST_STALE = 4
"""Most faults `StaleDepth` at a time: each keeps all books."""
_DEEPEST = 5_000
MOST_NAMED = 20
"""Symbols that a refusal names at most."""

F = TypeVar("F", bound=Refuse | StaleDepth | WrongAnswer | RefuseSubscribe | OddReply)
C = TypeVar("C", bound="_Counted[Any]")


class _Counted(Generic[F]):
    """A fault of requests and to how many of them it still applies; None: all."""

    def __init__(self, fault: F) -> None:
        self.fault = fault
        self.left = fault.count

    def count_down(self) -> None:
        """Counts one application of the fault."""
        if self.left is not None:
            self.left -= 1


class _Skew:
    """`ClockSkew`, until it is cleared."""

    def __init__(self, fault: ClockSkew) -> None:
        self.fault = fault
        self.left = None


class _Staleness(_Counted[StaleDepth]):
    """`StaleDepth` with the books of the moment at which it was ordered."""

    def __init__(self, fault: StaleDepth, market: Market) -> None:
        super().__init__(fault)
        known = [row["symbol"] for row in market.exchange_info()]
        if fault.symbol and fault.symbol not in known:
            raise ValueError(f"there is no symbol {fault.symbol!r}; there are {', '.join(known[:MOST_NAMED])}")
        symbols = [fault.symbol] if fault.symbol else known
        self.books = {symbol: market.depth(symbol, _DEEPEST) for symbol in symbols}


class FaultInjector:
    """The active faults, at most `MOST_FAULTS`, and what they do to messages, requests and answers.

    What they make and hold back is bounded by `budget`.
    """

    def __init__(
        self, market: Market, budget: Budget, with_clock: WithClock = with_clock, forms: Forms = BINANCE
    ) -> None:
        """`with_clock` shifts the times of the venue's clock in a message; `forms` are those of its messages."""
        self._market = market
        self._budget = budget
        self._with_clock = with_clock
        self._forms = forms
        self._skews: list[_Skew] = []
        self._transforms: list[Transform] = []
        self._refusals: list[_Counted[Refuse]] = []
        self._stale: list[_Staleness] = []
        self._answers: list[_Counted[WrongAnswer]] = []
        self._replies: list[_Counted[RefuseSubscribe | OddReply]] = []

    @property
    def is_idle(self) -> bool:
        """Whether no fault alters messages."""
        return not self._transforms and not self._skews

    @property
    def skew_ms(self) -> int:
        """Offset of the exchange's clock."""
        return sum(one.fault.by_ms for one in self._skews)

    def add(self, fault: MessageFault | ReplyFault | RestFault) -> None:
        """Starts a fault; `ValueError` when too many are active."""
        if len(self._active()) >= MOST_FAULTS:
            raise ValueError(f"{MOST_FAULTS} faults are on already; clear them first")
        if isinstance(fault, StaleDepth) and len(self._stale) >= MOST_STALE:
            raise ValueError(f"the books of {MOST_STALE} moments are kept already; clear the faults first")
        match fault:
            case ClockSkew():
                self._skews.append(_Skew(fault))
            case Refuse():
                self._refusals.append(_Counted(fault))
            case StaleDepth():
                self._stale.append(_Staleness(fault, self._market))
            case WrongAnswer():
                self._answers.append(_Counted(fault))
            case RefuseSubscribe() | OddReply():
                self._replies.append(_Counted(fault))
            case _:
                self._transforms.append(start_transform(fault, self._budget, self._forms))

    def clear(self) -> list[Message]:
        """Clears all faults and returns the messages held back, to be sent now."""
        released = self.release()
        for faults in (self._skews, self._transforms, self._refusals, self._stale, self._answers, self._replies):
            faults.clear()
        return released

    def release(self) -> list[Message]:
        """Returns the messages held back, oldest fault first."""
        return [message for one in self._transforms for message in one.release()]

    def on_messages(self, messages: list[Message]) -> list[Message]:
        """The messages to send in place of `messages`. Their clock is wrong before any other fault acts."""
        self._budget.renew(faults=len(self._transforms))
        by_ms = self.skew_ms
        if by_ms:
            messages = [self._with_clock(message, by_ms) for message in messages]
        for one in self._transforms:
            messages = [out for message in messages for out in one.on_message(message)]
        self._transforms = [one for one in self._transforms if not one.spent]
        return messages

    def refusal(self, path: str) -> Refuse | None:
        """The error ordered for a request for `path`."""
        one = _take(self._refusals, lambda one: path.startswith(one.fault.path))
        return one.fault if one else None

    def wrong_answer(self, path: str) -> WrongAnswer | None:
        """The wrong answer ordered for a request for `path` that is not refused."""
        one = _take(self._answers, lambda one: path.startswith(one.fault.path) and self.makes(0))
        return one.fault if one else None

    def makes(self, size: int) -> bool:
        """Counts `size` bytes that a fault sends beside the messages; False when it must not."""
        self._budget.renew()
        return self._budget.admits(size)

    def answer(self, client: Requests, text: Text) -> tuple[bytes, ...]:
        """Executes a request of a client; the replies to send."""
        one = _take(
            self._replies, lambda one: concerns(one.fault, client, text) and self.makes(most_bytes_of(one.fault))
        )
        return answer_wrongly(one.fault, client, text) if one else answer_truly(client, text)

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The market's book, or the one kept by `StaleDepth`."""
        one = _take(self._stale, lambda one: one.books.get(symbol) is not None)
        book = one.books[symbol] if one else None
        if book is None:
            return self._market.depth(symbol, limit)
        return {**book, "bids": book["bids"][:limit], "asks": book["asks"][:limit]}

    def report(self) -> list[dict[str, Any]]:
        """The faults as ordered, with `left`: how often each still applies (null: until it is cleared)."""
        return [{**msgspec.to_builtins(one.fault), "left": one.left} for one in self._active()]

    def _active(self) -> tuple[Any, ...]:
        return (
            *self._skews,
            *self._transforms,
            *self._refusals,
            *self._stale,
            *self._answers,
            *self._replies,
        )


def _take(faults: list[C], concerns: Callable[[C], bool]) -> C | None:
    """Counts and returns the first fault that applies to a request; removes the faults that are used up."""
    one = next(filter(concerns, faults), None)
    if one is not None:
        one.count_down()
        faults[:] = [other for other in faults if other.left != 0]
    return one
