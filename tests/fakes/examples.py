"""How many examples a law is tried with: as many as take about a second, and ten times as many with `THOROUGH=1`, as
`make laws` has it. A law that names no number has `examples(30)`, from `tests/conftest.py`.
"""

import os
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

TIMES: Final = 10 if os.environ.get("THOROUGH") else 1


def examples(number: int) -> int:
    """The number of examples of a law that is tried with so many in an ordinary run."""
    return number * TIMES


def alternating(cases: Sequence[T], venues: Sequence[str]) -> list[tuple[T, str]]:
    """Each case at one of the venues in turn; at all of them with `THOROUGH=1`."""
    if TIMES > 1:
        return [(case, venue) for case in cases for venue in venues]
    return [(case, venues[place % len(venues)]) for place, case in enumerate(cases)]
