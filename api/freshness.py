"""How old something is, in the feed's time."""

from collections.abc import Iterable

from api.board import Board


def feed_ms(boards: Iterable[Board]) -> int | None:
    """What time it is in the feed that the boards tell of, ms UTC; None while no hub has told."""
    return max((board.clock.now().feed for board in boards), default=0) or None


def age_ms(boards: Iterable[Board], time_ms: int) -> int | None:
    """Time since a moment of the feed that the boards tell of; None while no hub has told what time it is there."""
    return max((max(0, board.clock.now().feed - time_ms) for board in boards), default=None)
