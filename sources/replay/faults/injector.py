"""The faults that are on at this moment, in the order in which they were ordered."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from sources.replay.faults.orders import (
    MessageFault,
    OddReply,
    Refuse,
    RefuseSubscribe,
    ReplyFault,
    RestFault,
    StaleDepth,
    WrongAnswer,
)
from sources.replay.faults.replies import Text, answer_truly, answer_wrongly, concerns
from sources.replay.faults.transforms import Skew, Tampering, start_tampering
from sources.replay.market.market import Market, Message
from sources.replay.protocol.subscriptions import Subscriptions

MOST_FAULTS = 100
_DEEPEST = 5_000

F = TypeVar("F", bound=Refuse | StaleDepth | WrongAnswer | RefuseSubscribe | OddReply)
C = TypeVar("C", bound="_Counted[Any]")


class _Counted(Generic[F]):
    """A fault of requests and how many of them it is still for; None: all."""

    def __init__(self, fault: F) -> None:
        self.fault = fault
        self.left = fault.count

    def strike(self) -> None:
        """It happened once more."""
        if self.left is not None:
            self.left -= 1


class _Staleness(_Counted[StaleDepth]):
    """The books of one moment, kept to be served later."""

    def __init__(self, fault: StaleDepth, market: Market) -> None:
        super().__init__(fault)
        symbols = [fault.symbol] if fault.symbol else [row["symbol"] for row in market.exchange_info()]
        self.books = {symbol: market.depth(symbol, _DEEPEST) for symbol in symbols}


class FaultInjector:
    """What goes wrong at present. At most `MOST_FAULTS` faults wait or act at a time."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._tamperings: list[Tampering | Skew] = []
        self._refusals: list[_Counted[Refuse]] = []
        self._stale: list[_Staleness] = []
        self._answers: list[_Counted[WrongAnswer]] = []
        self._replies: list[_Counted[RefuseSubscribe | OddReply]] = []

    @property
    def is_quiet(self) -> bool:
        """Whether messages pass as they are."""
        return not self._tamperings

    @property
    def skew_ms(self) -> int:
        """What the exchange's clock is wrong by."""
        return sum(one.fault.by_ms for one in self._tamperings if isinstance(one, Skew))

    def add(self, fault: MessageFault | ReplyFault | RestFault) -> None:
        """Switches a fault on; `ValueError` when too many are on."""
        if len(self.report()) >= MOST_FAULTS:
            raise ValueError(f"{MOST_FAULTS} faults are on already; clear them first")
        match fault:
            case Refuse():
                self._refusals.append(_Counted(fault))
            case StaleDepth():
                self._stale.append(_Staleness(fault, self._market))
            case WrongAnswer():
                self._answers.append(_Counted(fault))
            case RefuseSubscribe() | OddReply():
                self._replies.append(_Counted(fault))
            case _:
                self._tamperings.append(start_tampering(fault))

    def clear(self) -> list[Message]:
        """Switches everything off; the messages that were held back, to be sent now."""
        released = self.release()
        self._tamperings, self._refusals, self._stale, self._answers, self._replies = [], [], [], [], []
        return released

    def release(self) -> list[Message]:
        """Lets go of the messages that are held back, oldest fault first."""
        return [message for one in self._tamperings for message in one.release()]

    def on_messages(self, messages: list[Message]) -> list[Message]:
        """What goes out in place of `messages`."""
        for one in self._tamperings:
            messages = [out for message in messages for out in one.on_message(message)]
        self._tamperings = [one for one in self._tamperings if not one.spent]
        return messages

    def refusal(self, path: str) -> Refuse | None:
        """The error to answer a request for `path` with."""
        one = _struck(self._refusals, lambda one: path.startswith(one.fault.path))
        return one.fault if one else None

    def wrong_answer(self, path: str) -> WrongAnswer | None:
        """What is wrong with the answer to a request for `path` that is not refused."""
        one = _struck(self._answers, lambda one: path.startswith(one.fault.path))
        return one.fault if one else None

    def answer(self, subscriptions: Subscriptions, text: Text) -> tuple[bytes, ...]:
        """Does what a client's message asks of its subscriptions; the replies to send."""
        one = _struck(self._replies, lambda one: concerns(one.fault, text))
        return answer_wrongly(one.fault, subscriptions, text) if one else answer_truly(subscriptions, text)

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The market's book, or an old one."""
        one = _struck(self._stale, lambda one: one.books.get(symbol) is not None)
        book = one.books[symbol] if one else None
        if book is None:
            return self._market.depth(symbol, limit)
        return {**book, "bids": book["bids"][:limit], "asks": book["asks"][:limit]}

    def report(self) -> list[dict[str, Any]]:
        """The faults as they were ordered, with `left`: how often each will still act (null: until it is cleared)."""
        faults = (*self._tamperings, *self._refusals, *self._stale, *self._answers, *self._replies)
        return [{**msgspec.to_builtins(one.fault), "left": getattr(one, "left", None)} for one in faults]


def _struck(faults: list[C], concerns: Callable[[C], bool]) -> C | None:
    """The first fault that concerns a request, which it happens to once more; those that are used up go."""
    one = next(filter(concerns, faults), None)
    if one is not None:
        one.strike()
        faults[:] = [other for other in faults if other.left != 0]
    return one
