"""What the states of instruments are made of: line events, how far the flow has come, and whether books are right.

Of the data only the newest event of a poll is looked at, a few times a second; and, while everything of a stream is
refused, whether anything of it is not.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias, get_args

from flows.model import (
    Backpressure,
    BookResult,
    BookView,
    ConnectionEvent,
    Disconnected,
    Flush,
    FreshnessChannel,
    Rejected,
    Removed,
    Subscribed,
    TradeWitness,
)
from flows.operators.parse import Batch, Trades, Validated
from flows.operators.refusals import kind_of
from flows.operators.status.channels import channel_of
from flows.operators.trades.witness import REFUSED_LEAST, REFUSED_MS
from flows.texts import counted

MOST_REFUSED: Final = 10_000
"""Channels with refusals that are remembered."""
PROGRESS_MS: Final = 250
"""Least local time between two `Progress`."""


class Progress(NamedTuple):
    """How far the flow has come, a few times a second."""

    has_caught_up: bool
    """Since the one before there was a moment in which nothing waited for the flow."""
    newest: int
    """Exchange time of the newest event that came with it, ms UTC; 0 where none did."""


class Unsynced(NamedTuple):
    """Whether the book of an instrument is known to be right; only when that changes."""

    symbol: str
    is_unsynced: bool


class ChannelRefused(NamedTuple):
    """Whether everything that a channel of an instrument brings is refused, and why; only when that changes. Of trades
    the sequencer reports it.
    """

    symbol: str
    channel: FreshnessChannel
    reason: str
    """Empty when something is not."""


Observation: TypeAlias = ConnectionEvent | Progress | TradeWitness | Unsynced | ChannelRefused
"""What states are made of."""
_EVENTS: Final = frozenset(get_args(ConnectionEvent))
_BEGINS: Final = frozenset((Subscribed, Disconnected, Removed))


class Observe:
    """Line events out of everything that passes, and a `Progress` every `PROGRESS_MS` at most."""

    def __init__(self, monotonic_ms: Callable[[], int]) -> None:
        self._monotonic_ms = monotonic_ms
        self._due_ms = 0
        self._has_caught_up = False
        self._refused = _RefusedChannels()

    def __call__(self, others: list[Validated], items: list[Validated]) -> list[Observation]:
        """The observations of one poll, or part of one, `others` being those of its items that are no batches. Behind
        the end of the input there is no progress.
        """
        out: list[Observation] = []
        refused = self._refused
        local = self._monotonic_ms()
        for item in others:
            kind = type(item)
            if kind is Flush:
                self._has_caught_up = True
            elif kind in _EVENTS:
                out.append(item)  # type: ignore[arg-type]
                if refused.runs and kind in _BEGINS:
                    refused.forget(item.symbols)  # type: ignore[union-attr]
            elif kind is Rejected:
                refused.note(item, local)  # type: ignore[arg-type]
        if refused.runs:
            out += refused.look(items, local)
        if local >= self._due_ms and not ends(items):
            self._due_ms = local + PROGRESS_MS
            out.append(Progress(self._has_caught_up, _newest_in(items)))
            self._has_caught_up = False
        return out


def _newest_in(items: list[Validated]) -> int:
    """The newest event time; 0 where there is none."""
    newest = 0
    for item in items:
        if type(item) is Batch:
            newest = max(newest, item.events[-1].event_time)
        elif type(item) is Trades:
            newest = max(newest, item.newest)
    return newest


class _Run:
    """Refusals of one channel, without anything else in between."""

    __slots__ = ("count", "is_reported", "reason", "since")

    def __init__(self, reason: str, since: int) -> None:
        self.reason, self.since = reason, since
        self.count = 0
        self.is_reported = False


class _RefusedChannels:
    """Of which channels everything is refused. Costs nothing as long as nothing is."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, FreshnessChannel], _Run] = {}

    def note(self, refused: Rejected, local: int) -> None:
        """Something was refused."""
        channel = channel_of(refused.kind)
        if channel is None or channel == "trades" or not refused.symbol:
            return
        key = refused.symbol, channel
        if key not in self.runs and len(self.runs) < MOST_REFUSED:
            self.runs[key] = _Run(refused.reason, local)
        if key in self.runs:
            self.runs[key].count += refused.count

    def forget(self, symbols: tuple[str, ...]) -> None:
        """Their streams begin anew, or end."""
        self.runs = {key: run for key, run in self.runs.items() if key[0] not in symbols}

    def look(self, items: list[Validated], local: int) -> list[ChannelRefused]:
        """What has changed with what came beside it."""
        out = []
        for item in items:
            if type(item) is not Batch or not self.runs:
                continue
            channel = channel_of(kind_of(type(item.events[0])))
            symbol = item.key.partition(":")[2]
            run = self.runs.pop((symbol, channel), None) if channel else None
            if run and run.is_reported and channel:
                out.append(ChannelRefused(symbol, channel, ""))
        for (symbol, channel), run in self.runs.items():
            if not run.is_reported and run.count >= REFUSED_LEAST and local - run.since >= REFUSED_MS:
                run.is_reported = True
                out.append(ChannelRefused(symbol, channel, f"everything that comes is refused: {run.reason}"))
        return out


def waiting_of(event: Backpressure) -> str:
    """How much of a line waits for the flow, in words."""
    return f"{counted(event.frames, 'message waits', 'messages wait')} for the flow"


def ends(items: list[Validated]) -> bool:
    """Whether the input ends with these."""
    last = items[-1]
    return type(last) is Flush and last.final


class BookSyncs:
    """Of the views of books only whether they are right, when that changes."""

    def __init__(self) -> None:
        self._synced: dict[str, bool] = {}

    def __call__(self, items: list[tuple[str, BookResult | Removed]]) -> list[Unsynced]:
        """The changes in these views."""
        out = []
        for _, item in items:
            if type(item) is BookView:
                if self._synced.get(item.symbol) is not item.synced:
                    self._synced[item.symbol] = item.synced
                    out.append(Unsynced(item.symbol, is_unsynced=not item.synced))
            elif type(item) is Removed:
                for symbol in item.symbols:
                    self._synced.pop(symbol, None)
        return out
