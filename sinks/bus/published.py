"""What the stream has since the recovered state was written, so that a restart publishes nothing a second time.

A killed process has published messages that its last recovered state does not know of. After the restart the machines
say it all again, but their trades are cut into other messages, which no message id finds. So the new process first
reads back what there is, from the number of the stream that stands in the recovered state, and leaves it out.
"""

import zlib
from typing import Any, Final

import msgspec

from sinks.bus.entry import Kept
from sinks.bus.subjects import channel_of
from sinks.bus.unreadable import Unreadable

_TRADES: Final = "Trade"


class Published:
    """Message ids, and ids of trades by subject."""

    def __init__(self) -> None:
        self._messages: set[str] = set()
        self._trades: dict[str, set[int]] = {}
        self._unreadable = Unreadable()

    def __len__(self) -> int:
        """Number of messages."""
        return len(self._messages)

    def add(self, subject: str, message_id: str, body: bytes) -> None:
        """Takes a message of the stream. One that cannot be read is of no flow, and is left out."""
        if message_id:
            self._messages.add(message_id)
        if channel_of(subject) != _TRADES:
            return
        try:
            found = {row["id"] for row in _rows(msgspec.json.decode(body))}
        except (ValueError, KeyError, TypeError, RecursionError) as error:  # msgspec's are ValueErrors
            self._unreadable.count(subject, error)
            return
        self._trades.setdefault(subject, set()).update(found)

    def without(self, kept: Kept) -> Kept | None:
        """What is not there yet of a message; None: nothing."""
        if kept.message_id in self._messages:
            return None
        there = self._trades.get(kept.subject)
        if not kept.trades or kept.corrects or not there:
            return kept
        envelope = msgspec.json.decode(kept.body)
        rows = _rows(envelope)
        new = [row for row in rows if row["id"] not in there]
        if len(new) == len(rows):
            return kept
        if not new:
            return None
        envelope["data"]["trades"] = new
        named = f"{kept.subject}:{new[0]['id']}-{new[-1]['id']}:{zlib.crc32(msgspec.json.encode(new)):08x}"
        return Kept(kept.subject, named, msgspec.json.encode(envelope), len(new))


def _rows(envelope: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = envelope["data"]["trades"]
    return rows
