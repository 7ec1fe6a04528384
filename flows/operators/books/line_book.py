"""An order book whose snapshot and changes come by one stream, compared with the venue's checksum."""

from typing import Final

from flows.bounds import BookChecksum
from flows.model import BookCheck, Level, LineDelta, LineSnapshot
from flows.operators.books.ladder import Ladder

_ALL: Final = 1 << 40
"""More levels than any book has: a snapshot holds whole sides, or as much of them as the stream keeps."""
_SLACK: Final = 64
"""Texts of levels that are gone, beyond as many as there are levels, before they are dropped."""


class LineBook:
    """Both sides. What the stream pushes out of its depth is forgotten, since no message names it."""

    __slots__ = ("_asks", "_bids", "_checksum", "_depth", "_latest", "event_time", "order")

    def __init__(self, snapshot: LineSnapshot, checksum: BookChecksum | None) -> None:
        """`checksum` is the venue's rule; with None, and for messages without a check, nothing is compared."""
        self._checksum = checksum
        self._depth = snapshot.depth
        bids, asks = _texts_of(snapshot.check)
        self._bids = _Side(snapshot.bids, bids, is_bids=True)
        self._asks = _Side(snapshot.asks, asks, is_bids=False)
        self.order = snapshot.last_update_id
        """Id of the newest message; 0 where messages have none."""
        self.event_time = snapshot.event_time
        self._latest: list[LineDelta] = []
        """The changes with that id."""

    @property
    def bids(self) -> Ladder:
        """One side."""
        return self._bids.ladder

    @property
    def asks(self) -> Ladder:
        """The other side."""
        return self._asks.ladder

    def take(self, delta: LineDelta) -> str:
        """Takes a change, and gives what is wrong then: empty when nothing is. One that is older, or the same again,
        changes nothing: two connections carry the same stream while one replaces the other.
        """
        order = delta.last_update_id
        if order and order <= self.order:
            if order < self.order or delta in self._latest:
                return ""
            self._latest.append(delta)
        else:
            self.order, self._latest = order, [delta] if order else []
        check = delta.check
        bids, asks = _texts_of(check)
        self._bids.change(delta.bids, bids, self._depth)
        self._asks.change(delta.asks, asks, self._depth)
        self.event_time = delta.event_time
        return self.fault(check)

    def fault(self, check: BookCheck | None) -> str:
        """How the book differs from the one that a checksum names; empty when it does not."""
        rule = self._checksum
        if rule is None or check is None:
            return ""
        ours = rule.of(self._bids.texts(rule.levels), self._asks.texts(rule.levels))
        return "" if ours == check.value else f"the book's checksum is {ours}, the exchange's is {check.value}"


def _texts_of(check: BookCheck | None) -> tuple[list[str], list[str]] | tuple[None, None]:
    return (None, None) if check is None else (check.bids, check.asks)


class _Side:
    """The levels of one side, and the text of each for the checksum."""

    __slots__ = ("_texts", "ladder")

    def __init__(self, levels: list[Level], texts: list[str] | None, *, is_bids: bool) -> None:
        self.ladder = Ladder(levels, is_bids=is_bids, depth=_ALL)
        self._texts: dict[float, str] = {}
        self._note(levels, texts)

    def change(self, levels: list[Level], texts: list[str] | None, depth: int) -> None:
        if not levels:
            return
        ladder = self.ladder
        ladder.change(levels)
        if depth and len(ladder) > depth:
            ladder.cut(depth)
        self._note(levels, texts)

    def _note(self, levels: list[Level], texts: list[str] | None) -> None:
        if texts is None:
            return
        known = self._texts
        for (price, _), text in zip(levels, texts, strict=False):
            known[price] = text
        if len(known) > 2 * len(self.ladder) + _SLACK:
            kept = {price for price, _ in self.ladder.best(len(self.ladder))}
            self._texts = {price: text for price, text in known.items() if price in kept}

    def texts(self, count: int) -> list[str]:
        """The texts of the best levels; one that no message with a check has named has none."""
        known = self._texts
        return [known.get(price, "") for price, _ in self.ladder.best(count)]
