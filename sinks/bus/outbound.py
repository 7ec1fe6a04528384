"""What publishers of messages have in common, whatever takes the messages: the buffer, its turns, what is refused."""

from abc import abstractmethod
from collections import Counter
from typing import Final

import structlog

from sinks.buffered.outage import OutageWatch
from sinks.buffered.summary import Summary
from sinks.buffered.writer import BufferedWriter
from sinks.bus.buffer import BusBuffer, Loss
from sinks.bus.entry import Entry
from sinks.bus.subjects import channel_of

MOST_AT_ONCE: Final = 2_000
"""Messages that are published together, and acknowledged before the next ones."""

log = structlog.get_logger(__name__)


class MessageWriter(BufferedWriter[Loss, Counter[str]]):
    """Publisher of one flow. A subclass calls `_start` when it is ready."""

    def __init__(self, *, thread_name: str, capacity: int, outages: OutageWatch, summary_s: float) -> None:
        self._refused: set[str] = set()
        """Channels of which a message was refused."""
        self._buffer = BusBuffer(capacity=capacity)
        super().__init__(
            thread_name=thread_name,
            buffer=self._buffer,
            outages=outages,
            summary=Summary(Counter[str], _log_published, interval_s=summary_s),
        )

    @property
    def waiting(self) -> int:
        """Number of trades that wait, or of other lasting messages where those are more; `capacity` bounds each."""
        return self._buffer.fullest

    @property
    def published(self) -> dict[str, int]:
        """Messages that were acknowledged, by channel or topic."""
        return dict(self._summary.total)

    # --- the writer's thread ---

    @abstractmethod
    def _publish(self, entries: list[Entry]) -> str:
        """Publishes what was taken, and settles it. Returns why it is not all there; "" when it is."""

    def _prepare(self) -> None:
        """Puts into the buffer what is due by time."""

    @abstractmethod
    def _explain(self, error: Exception) -> str:
        """Why an error has ended a turn. One that is a bug is logged: it must not silence the writer for good."""

    def _write_due(self) -> tuple[bool, str]:
        try:
            self._prepare()
            while entries := self._buffer.take(MOST_AT_ONCE):
                cause = self._publish(entries)
                if cause:
                    return False, cause
        except Exception as error:  # noqa: BLE001 - `_explain` logs it
            self._buffer.settle([], [])
            self._buffer.fail()
            return False, self._explain(error)
        return True, ""

    def _name_refused(self, entry: Entry, reason: str) -> None:
        """Once for each channel: what is lost is counted besides."""
        channel = channel_of(entry.subject)
        if channel not in self._refused:
            self._refused.add(channel)
            log.error("message_refused", subject=entry.subject, bytes=len(entry.fixed().body), reason=reason)


def _log_published(recent: Counter[str]) -> None:
    log.info("messages_published", **dict(recent))
