"""What is made of the answers of a REST interface: typed rows, in the order that was queried."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
import structlog

from flows.bounds import ANY_VENUE, VenueRules, fault_of
from flows.foreign import DECODER, quoted
from flows.model import Kline
from sources.rest.client import VenueError

ANSWERED = 200
"""HTTP status of an answer that is none."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes, path: str) -> T:
    """An answer; `VenueError` when it is not what it should be."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise VenueError(
            f"{path}: the answer is not what it should be: {quoted(str(error), by=DECODER)}", status=ANSWERED
        ) from error


def plausible(answer: T, path: str) -> T:
    """The answer; `VenueError` when it cannot be true."""
    if reason := fault_of(answer):
        raise VenueError(f"{path}: the answer cannot be true: {reason}", status=ANSWERED)
    return answer


def plausible_klines(klines: Iterable[Kline], rules: VenueRules = ANY_VENUE) -> list[Kline]:
    """The klines that can be true; of the others each is logged."""
    found: list[Kline] = []
    for kline in klines:
        if reason := fault_of(kline, rules):
            _log.warning("row_rejected", symbol=kline.symbol, reason=reason)
        else:
            found.append(kline)
    return found


def rising(items: Iterable[T], place_of: Callable[[T], int], first: int, last: int) -> list[T]:
    """The items of a page within the range, each place once and in rising order; others are dropped."""
    found: list[T] = []
    for item in items:
        place = place_of(item)
        if first <= place <= last:
            found.append(item)
            first = place + 1
    return found
