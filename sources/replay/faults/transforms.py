"""Applies the stream faults: each maps a message to the messages that are sent instead. Pure, in market time.

Each class is named after the fault in `orders.py` that it applies.
"""

import fnmatch
import re
from collections.abc import Callable
from typing import TypeAlias

from sources.replay.faults import orders
from sources.replay.faults.budget import Budget, size_of
from sources.replay.faults.content_faults import AlteringFault
from sources.replay.faults.contents import Alteration, alteration_of
from sources.replay.faults.forms import BINANCE, Forms
from sources.replay.faults.spec import StreamFault
from sources.replay.market.market import Message

Messages: TypeAlias = tuple[Message, ...]
WithClock: TypeAlias = Callable[[Message, int], Message]
"""A message whose times of the venue's clock are shifted, ms."""
OrderedFault: TypeAlias = orders.OrderFault | AlteringFault

_EVENT_TIME = re.compile(rb'"E":(\d+)')


class Transform:
    """Base class: alters `count` messages of the matching streams, and is `spent` after that.

    Whatever it makes or holds back, it asks its budget for. Where the budget says no, the message passes as it is and
    does not count.
    """

    def __init__(self, fault: StreamFault, budget: Budget, *, count: int) -> None:
        self.fault = fault
        self._budget = budget
        self.left = count
        """Messages still to be altered."""
        self._to_skip = fault.after
        self._matches = re.compile(fnmatch.translate(fault.stream)).match

    @property
    def spent(self) -> bool:
        """Whether it will alter no further message and holds none back."""
        return not self.left

    def on_message(self, message: Message) -> Messages:
        """The messages to send in place of `message`, in order."""
        if not self.left or not self._matches(message.stream):
            return (message,)
        if self._to_skip:
            self._to_skip -= 1
            return (message,)
        return self._alter(message)

    def _alter(self, message: Message) -> Messages:
        """Applies the fault to a matching message."""
        raise NotImplementedError

    def release(self) -> Messages:
        """Returns the messages held back, when the fault is cleared or the market ends."""
        return ()


class Gap(Transform):
    """Drops messages."""

    def _alter(self, message: Message) -> Messages:  # noqa: ARG002 - dropped unread
        self.left -= 1
        return ()


class Silence(Transform):
    """Drops messages for a span of market time."""

    def __init__(self, fault: orders.Silence, budget: Budget) -> None:
        super().__init__(fault, budget, count=1)
        self._for_ms = fault.for_ms
        self._until_ms: int | None = None

    def _alter(self, message: Message) -> Messages:
        if self._for_ms is None:
            return ()
        if self._until_ms is None:
            self._until_ms = message.due_ms + self._for_ms
        if message.due_ms < self._until_ms:
            return ()
        self.left = 0
        return (message,)


class Duplicate(Transform):
    """Sends messages twice."""

    def _alter(self, message: Message) -> Messages:
        if not self._budget.admits(size_of(message)):
            return (message,)
        self.left -= 1
        return (message, message)


class Reorder(Transform):
    """Swaps a message with its successor in the same stream. Holds at most one message per stream."""

    def __init__(self, fault: orders.Reorder, budget: Budget) -> None:
        super().__init__(fault, budget, count=fault.count)
        self._first: dict[str, Message] = {}

    def _alter(self, message: Message) -> Messages:
        first = self._first.pop(message.stream, None)
        if first is not None:
            self._budget.lets_go(first)
            self.left -= 1
            return (message, first)
        if len(self._first) >= self.left or not self._budget.holds(message):
            return (message,)  # the first message of every remaining pair is held already, or there is no room
        self._first[message.stream] = message
        return ()

    def release(self) -> Messages:
        """Messages whose successor has not arrived."""
        held = tuple(self._first.values())
        self._first.clear()
        for message in held:
            self._budget.lets_go(message)
        return held


class Late(Transform):
    """Holds back one message at a time, until `hold_messages` others have passed or for `hold_ms`."""

    def __init__(self, fault: orders.Late, budget: Budget) -> None:
        super().__init__(fault, budget, count=fault.count)
        self._late = fault
        self._held: Message | None = None
        self._passed = 0

    def on_message(self, message: Message) -> Messages:
        """Sends the held message before `message` when `hold_ms` has passed, whatever the stream of `message`."""
        held, hold_ms = self._held, self._late.hold_ms
        if held is not None and hold_ms is not None and message.due_ms >= held.due_ms + hold_ms:
            return (*self.release(), *super().on_message(message))
        return super().on_message(message)

    def _alter(self, message: Message) -> Messages:
        if self._held is None:
            if not self._budget.holds(message):
                return (message,)
            self._held, self._passed = message, 0
            return ()
        if message.stream == self._held.stream:
            self._passed += 1
        return (message, *self.release()) if self._passed == self._late.hold_messages else (message,)

    def release(self) -> Messages:
        """The message held back, if any."""
        if self._held is None:
            return ()
        held, self._held = self._held, None
        self._budget.lets_go(held)
        self.left -= 1
        return (held,)


class WrongContent(Transform):
    """Sends wrong messages in place of true ones, or before them: every fault of `content_faults.py`."""

    def __init__(self, fault: AlteringFault, budget: Budget, forms: Forms) -> None:
        super().__init__(fault, budget, count=fault.count)
        self._keeps_true = fault.keeps_true
        self._wrong: Alteration = alteration_of(fault, forms)

    def _alter(self, message: Message) -> Messages:
        if not self._budget.admits(size_of(message)):  # to read it is work, also of a message that a fault has made
            return (message,)
        wrong = tuple(self._budget.admitted(self._wrong(message)))
        if not wrong:
            return (message,)
        self.left -= 1
        return (*(one._replace(is_added=True) for one in wrong), message) if self._keeps_true else wrong


def with_clock(message: Message, by_ms: int) -> Message:
    """A message whose event times are shifted."""
    return message._replace(data=_EVENT_TIME.sub(lambda found: b'"E":%d' % (int(found[1]) + by_ms), message.data))


def start_transform(fault: OrderedFault, budget: Budget, forms: Forms = BINANCE) -> Transform:
    """The transform that applies a fault to the messages of a venue with these forms."""
    match fault:
        case orders.Gap():
            return Gap(fault, budget, count=fault.count)
        case orders.Duplicate():
            return Duplicate(fault, budget, count=fault.count)
        case orders.Silence():
            return Silence(fault, budget)
        case orders.Reorder():
            return Reorder(fault, budget)
        case orders.Late():
            return Late(fault, budget)
        case _:
            return WrongContent(fault, budget, forms)
