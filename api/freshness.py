"""How old something is, in the feed's time."""

from collections.abc import Iterable

from api.board import Board


def age_ms(boards: Iterable[Board], time_ms: int) -> int | None:
    """Time since a moment of the feed that the boards tell of; None while no hub has told what time it is there."""
    return max((max(0, board.clock.now().feed - time_ms) for board in boards), default=None)
