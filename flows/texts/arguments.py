"""Numbers in the arguments of commands that `argparse` reads, each within its bounds. `nan` is within none."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def number_from(least: float, most: float) -> Callable[[str], float]:
    """A reader of numbers from `least` to `most`, both included."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ArgumentTypeError(f"{text[:40]!r} is no number from {least:,} to {most:,}")
        return number

    return read


def whole_from(least: int, most: int) -> Callable[[str], int]:
    """The same for whole numbers."""

    def read(text: str) -> int:
        try:
            number = int(text[:40])
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ArgumentTypeError(f"{text[:40]!r} is no whole number from {least:,} to {most:,}")
        return number

    return read
