"""The streams that the venue refuses, reported to the flow and the log.

A connection is up when at least one of its streams is confirmed. A refused stream is cut for its instrument alone;
others are not affected. A stream counts as refused when a session was refused it and no session has it.
"""

from collections.abc import Iterable
from typing import Protocol

import structlog

from flows.model import Disconnected, Subscribed
from sources.connection.frame_queue import FrameQueue
from sources.feed import ConnectionPlan

NAMED = 5
"""Most streams that a reason names."""

_log = structlog.get_logger(__name__)


class Carrier(Protocol):
    """The part of a session that is needed here."""

    carried: dict[str, None]
    """Streams that the venue has confirmed."""
    refused: dict[str, str]
    """By refused stream, the venue's reason."""


class Refusals:
    """The refusals of one connection, over all its sessions."""

    def __init__(self, queue: FrameQueue) -> None:
        self._queue = queue
        self.streams: dict[str, str] = {}
        """Streams reported as refused, with the venue's first reason."""

    def begin(self, plan: ConnectionPlan, session: Carrier) -> None:
        """The connection is up: reports which streams are confirmed and which refused."""
        self.streams = {}
        self.update(plan, (session,), session.carried)

    def update(self, plan: ConnectionPlan, sessions: Iterable[Carrier], new: Iterable[str] = ()) -> None:
        """Reports what has changed, and of the `new` streams those that are confirmed."""
        carried: set[str] = set()
        words: dict[str, str] = {}
        for session in sessions:
            carried |= session.carried.keys()
            words = session.refused | words
        before = self.streams
        words |= before
        self.streams = {name: words[name] for name in plan.names if name in words and name not in carried}
        refused = [name for name in self.streams if name not in before]
        added = set(new)
        confirmed = [name for name in plan.names if name not in self.streams and (name in added or name in before)]
        if refused or confirmed:
            self._put(plan, refused, confirmed)

    def _put(self, plan: ConnectionPlan, refused: list[str], confirmed: list[str]) -> None:
        """Puts the events. An instrument with only a part of its streams gets what is confirmed first, and then the
        cut. The last event states that the connection is up.
        """
        incomplete = {plan.names[name][0] for name in self.streams}
        partly = [name for name in confirmed if plan.names[name][0] in incomplete]
        wholly = [name for name in confirmed if plan.names[name][0] not in incomplete]
        if partly:
            self._queue.put_event(Subscribed(plan.line, _symbols(plan, partly), tuple(partly)))
        touched = {plan.names[name][0] for name in (*refused, *partly)}
        by_words: dict[str, list[str]] = {}
        for name, words in self.streams.items():
            if plan.names[name][0] in touched:
                by_words.setdefault(words, []).append(name)
        for words, names in by_words.items():
            reason = f"the venue refused the subscription of {_listed(names)}: {words}"
            symbols = _symbols(plan, names)
            _log.warning("streams_refused", venue=self._queue.venue, line=plan.line, symbols=symbols, reason=reason)
            self._queue.put_event(Disconnected(plan.line, symbols, reason, is_refusal=True))
        if wholly or by_words:
            self._queue.put_event(Subscribed(plan.line, _symbols(plan, wholly), tuple(wholly)))


def _symbols(plan: ConnectionPlan, names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(plan.names[name][0] for name in names))


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
