"""Which streams of a venue are followed, by the names that frames carry."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from flows.model import StreamNames
from sources.feed import ConnectionPlan, DesiredStreams, VenueFeed


class Channel(Struct, frozen=True):
    """A stream."""

    line: str
    symbol: str
    """Empty for a sign of life, which is of no instrument."""
    kind: str


class Channels:
    """The streams of a venue that are desired, replaced as a whole by `follow`, from any thread."""

    def __init__(self, feed: VenueFeed) -> None:
        self._feed = feed
        self._plans: list[ConnectionPlan] = []
        self.by_name: dict[str, Channel] = {}
        self.names: dict[str, StreamNames] = {}
        """By line, for the parser. The same object while nothing changes."""
        self.channel_of = feed.channel_of

    def follow(self, desired: DesiredStreams) -> None:
        """Sets the desired streams."""
        self._plans = self._feed.plans(desired, self._plans)
        found = {
            name: Channel(plan.line, symbol, kind)
            for plan in self._plans
            for name, (symbol, kind) in plan.names.items()
        }
        by_line: dict[str, set[str]] = {}
        for name, channel in found.items():
            by_line.setdefault(channel.line, set()).add(name)
        signs = {plan.heartbeat: Channel(plan.line, "", "") for plan in self._plans if plan.heartbeat and plan.names}
        before = self.names
        self.names = {line: _kept(before.get(line), names) for line, names in by_line.items()}
        self.by_name = signs | found

    def of_symbol(self, line: str, symbol: str) -> Iterator[tuple[str, Channel]]:
        """The streams of an instrument on a line, with their names."""
        return ((name, one) for name, one in self.by_name.items() if (one.line, one.symbol) == (line, symbol))

    def symbol_of(self, frame: bytes) -> str:
        """The instrument of a frame; "" for one of no single instrument."""
        channel: Any = self.by_name.get(self.channel_of(frame))
        return channel.symbol if channel else ""


def _kept(before: StreamNames | None, names: set[str]) -> StreamNames:
    """The names before, where they are the same: parsers remember what they learnt of them by their identity."""
    return before if before is not None and before.subscribed == names else StreamNames(frozenset(names))
