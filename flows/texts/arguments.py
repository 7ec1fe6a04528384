"""Numbers in the arguments of commands that `argparse` reads, each within its bounds. `nan` is within none."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

N = TypeVar("N", int, float)


def number_from(least: float, most: float) -> Callable[[str], float]:
    """A reader of numbers from `least` to `most`, both included."""
    return _reader(float, "number", least, most)


def whole_from(least: int, most: int) -> Callable[[str], int]:
    """The same for whole numbers."""
    return _reader(int, "whole number", least, most)


def _reader(kind: Callable[[str], N], name: str, least: N, most: N) -> Callable[[str], N]:
    def read(text: str) -> N:
        try:
            number = kind(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ArgumentTypeError(f"{text[:40]!r} is no {name} from {least:,} to {most:,}")
        return number

    return read
