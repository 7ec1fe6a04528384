"""One side of an order book: in C where that was compiled, else in plain Python, with the same results."""

from typing import TYPE_CHECKING

from flows.modules.compiled import compiled
from flows.operators.books.plain_ladder import Ladder as PlainLadder

_ladder = compiled("flows.operators.books._ladder", "Ladder")

if TYPE_CHECKING:
    Ladder = PlainLadder
else:
    Ladder = PlainLadder if _ladder is None else _ladder.Ladder
