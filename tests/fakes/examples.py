"""How many examples a law is tried with: as many as take about a second, and ten times as many with `THOROUGH=1`, as
`make laws` has it.
"""

import os
from typing import Final

TIMES: Final = 10 if os.environ.get("THOROUGH") else 1


def examples(number: int) -> int:
    """The number of examples of a law that is tried with so many in an ordinary run."""
    return number * TIMES
