"""What is made of the answers of a REST interface: typed rows, in the order that was queried."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from flows.foreign import DECODER, quoted
from sources.rest.client import VenueError

ANSWERED = 200
"""HTTP status of an answer that is none."""

T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], body: bytes, path: str) -> T:
    """An answer; `VenueError` when it is not what it should be."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise VenueError(
            f"{path}: the answer is not what it should be: {quoted(str(error), by=DECODER)}", status=ANSWERED
        ) from error


def rising(items: Iterable[T], place_of: Callable[[T], int], first: int, last: int) -> list[T]:
    """The items of a page within the range, each place once and in rising order; others are dropped."""
    found: list[T] = []
    for item in items:
        place = place_of(item)
        if first <= place <= last:
            found.append(item)
            first = place + 1
    return found
