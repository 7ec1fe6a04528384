"""The newest messages of the hub, for clients that reconnect."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import islice
from operator import attrgetter
from typing import Final

from flows.model import TradeBatch
from sinks.hub.messages import Message
from sinks.hub.payloads import TradeBody

_SEQ: Final = attrgetter("seq")

REPLAY_TRADES: Final = 100_000
"""Most trades in the held messages; beyond that the oldest messages are dropped."""


class ReplayBuffer:
    """Holds at most `most` messages, whose numbers rise."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._messages: deque[Message] = deque()
        self._trades = 0

    def put(self, message: Message) -> None:
        """Adds the next message; the oldest are dropped."""
        self._messages.append(message)
        self._trades += _trades_in(message)
        while self._messages and (len(self._messages) > self._most or self._trades > REPLAY_TRADES):
            self._trades -= _trades_in(self._messages.popleft())

    def clear(self) -> None:
        """Drops all."""
        self._messages.clear()
        self._trades = 0

    def after(self, seq: int, *, newest: int) -> Iterable[Message] | None:
        """All messages after `seq`, up to `newest`, the newest ever; None when some of them were dropped."""
        oldest = self._messages[0].seq if self._messages else newest + 1
        if not oldest - 1 <= seq <= newest:
            return None
        begin = min(seq + 1 - oldest, len(self._messages))
        if begin and self._messages[begin - 1].seq != seq:  # numbers are missing between them
            begin = bisect_right(self._messages, seq, key=_SEQ)
        return islice(self._messages, begin, None)


def _trades_in(message: Message) -> int:
    return len(message.item.trades) if isinstance(message.item, TradeBatch | TradeBody) else 0
