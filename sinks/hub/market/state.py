"""Current state for new clients: the latest message of everything that has a state."""

from collections.abc import Callable
from itertools import chain
from typing import Any

from sinks.hub.messages import Message, Topic


class StateCache:
    """State, latest price, statistics, ticker, book, mark price, funding, open interest and last liquidations of each
    symbol, closed and forming candle of each timeframe, state of each line (stream group), balances and positions.

    Grows with the followed instruments and the lines, not with time. Trades and incidents are events and have no state.
    """

    def __init__(self) -> None:
        self._latest: dict[tuple[Topic, str], Message] = {}
        self._closed: dict[Topic, tuple[int, Message]] = {}
        self._forming: dict[Topic, tuple[int, Message]] = {}

    def put(self, message: Message, *, line: str = "") -> None:
        """Keeps a message that replaces the one of its topic, and of its line."""
        self._latest[message.topic, line] = message

    def put_forming(self, message: Message, *, open_time: int) -> None:
        """Keeps a forming candle, beside the newest closed one."""
        self._forming[message.topic] = (open_time, message)

    def put_closed(self, message: Message, *, open_time: int) -> None:
        """Keeps a message about a closed candle, unless it amends an older one than the last, and drops the forming
        candle that it ends.
        """
        topic = message.topic
        if topic not in self._closed or self._closed[topic][0] <= open_time:
            self._closed[topic] = (open_time, message)
        if topic in self._forming and self._forming[topic][0] <= open_time:
            del self._forming[topic]

    def forget(self, is_gone: Callable[[Topic], bool]) -> None:
        """Drops the state of topics."""
        self._latest = {key: message for key, message in self._latest.items() if not is_gone(key[0])}
        self._closed = {topic: known for topic, known in self._closed.items() if not is_gone(topic)}
        self._forming = {topic: known for topic, known in self._forming.items() if not is_gone(topic)}

    def drop(self, topic: Topic) -> None:
        """Drops the message of a topic: there is nothing of it any more."""
        self._latest.pop((topic, ""), None)

    def item(self, topic: Topic) -> Any:
        """The item sent last for a topic; None before the first."""
        message = self._latest.get((topic, ""))
        return message.item if message else None

    def messages(self, wants: Callable[[Topic], bool]) -> list[Message]:
        """The wanted messages, in the order of `seq`."""
        candles = (message for _, message in chain(self._closed.values(), self._forming.values()))
        wanted = (message for message in chain(self._latest.values(), candles) if wants(message.topic))
        return sorted(wanted, key=lambda message: message.seq)
