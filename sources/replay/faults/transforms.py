"""The stream faults at work: each takes a message and gives the messages that go out instead. Pure, in market time."""

import fnmatch
import re
from typing import TypeAlias

from sources.replay.faults.contents import Alteration, alteration_of
from sources.replay.faults.orders import (
    ClockSkew,
    Duplicate,
    Gap,
    Late,
    MessageFault,
    Reorder,
    Silence,
)
from sources.replay.faults.spec import ContentFault, StreamFault
from sources.replay.market.market import Message

Messages: TypeAlias = tuple[Message, ...]

_EVENT_TIME = re.compile(rb'"E":(\d+)')


class Tampering:
    """A fault that alters the messages of the streams it names, `count` of them, and is `spent` after that."""

    def __init__(self, fault: StreamFault, *, count: int) -> None:
        self.fault = fault
        self.left = count
        """How many times it will still act."""
        self._to_skip = fault.after
        self._matches = re.compile(fnmatch.translate(fault.stream)).match

    @property
    def spent(self) -> bool:
        """Whether it will never act again and holds nothing back."""
        return not self.left

    def on_message(self, message: Message) -> Messages:
        """What goes out in place of `message`, in this order."""
        if not self.left or not self._matches(message.stream):
            return (message,)
        if self._to_skip:
            self._to_skip -= 1
            return (message,)
        return self._alter(message)

    def _alter(self, message: Message) -> Messages:
        """The fault itself, done to a message that it is meant for."""
        raise NotImplementedError

    def release(self) -> Messages:
        """Gives back what is held, when the fault is lifted or the market ends."""
        return ()


class Swallow(Tampering):
    """Loses messages: a gap."""

    def _alter(self, message: Message) -> Messages:  # noqa: ARG002 - lost, whatever it is
        self.left -= 1
        return ()


class Hush(Tampering):
    """Loses messages for a span of market time: silence."""

    def __init__(self, fault: Silence) -> None:
        super().__init__(fault, count=1)
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


class Repeat(Tampering):
    """Sends messages twice."""

    def _alter(self, message: Message) -> Messages:
        self.left -= 1
        return (message, message)


class Swap(Tampering):
    """Lets a message change places with its successor in the same stream. It holds one message at most a stream."""

    def __init__(self, fault: Reorder) -> None:
        super().__init__(fault, count=fault.count)
        self._first: dict[str, Message] = {}

    def _alter(self, message: Message) -> Messages:
        first = self._first.pop(message.stream, None)
        if first is not None:
            self.left -= 1
            return (message, first)
        if len(self._first) >= self.left:
            return (message,)  # every pair that is still to be swapped has its first half
        self._first[message.stream] = message
        return ()

    def release(self) -> Messages:
        """First halves whose second never came."""
        held = tuple(self._first.values())
        self._first.clear()
        return held


class Delay(Tampering):
    """Holds one message at a time back, until enough others have passed or it is late enough."""

    def __init__(self, fault: Late) -> None:
        super().__init__(fault, count=fault.count)
        self._late = fault
        self._held: Message | None = None
        self._passed = 0

    def on_message(self, message: Message) -> Messages:
        """Lets the held message go before `message` when it is time, whatever stream `message` is of."""
        held, hold_ms = self._held, self._late.hold_ms
        if held is not None and hold_ms is not None and message.due_ms >= held.due_ms + hold_ms:
            return (*self.release(), *super().on_message(message))
        return super().on_message(message)

    def _alter(self, message: Message) -> Messages:
        if self._held is None:
            self._held, self._passed = message, 0
            return ()
        if message.stream == self._held.stream:
            self._passed += 1
        return (message, *self.release()) if self._passed == self._late.hold_messages else (message,)

    def release(self) -> Messages:
        """The message that is late."""
        if self._held is None:
            return ()
        held, self._held = self._held, None
        self.left -= 1
        return (held,)


class Falsify(Tampering):
    """Sends wrong messages in place of true ones, or before them."""

    def __init__(self, fault: ContentFault, alter: Alteration) -> None:
        super().__init__(fault, count=fault.count)
        self._content = fault
        self._wrong = alter

    def _alter(self, message: Message) -> Messages:
        wrong = self._wrong(message)
        if not wrong:
            return (message,)
        self.left -= 1
        return (*wrong, message) if self._content.insert else wrong


class Skew:
    """Shifts the event time of every message."""

    spent = False

    def __init__(self, fault: ClockSkew) -> None:
        self.fault = fault

    def on_message(self, message: Message) -> Messages:
        """The message with its `E` shifted."""
        return (message._replace(data=_EVENT_TIME.sub(self._shifted, message.data)),)

    def release(self) -> Messages:
        """Nothing is held."""
        return ()

    def _shifted(self, found: re.Match[bytes]) -> bytes:
        return b'"E":%d' % (int(found[1]) + self.fault.by_ms)


def start_tampering(fault: MessageFault) -> Tampering | Skew:  # noqa: PLR0911 - one for each kind
    """The fault, ready to act."""
    match fault:
        case Gap():
            return Swallow(fault, count=fault.count)
        case Duplicate():
            return Repeat(fault, count=fault.count)
        case Silence():
            return Hush(fault)
        case Reorder():
            return Swap(fault)
        case Late():
            return Delay(fault)
        case ClockSkew():
            return Skew(fault)
        case _:
            return Falsify(fault, alteration_of(fault))
