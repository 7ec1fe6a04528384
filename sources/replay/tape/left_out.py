"""What of a recording is not played: it holds what an exchange has sent, wrong or not, and what a market cannot take is
left out and counted.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

import polars as pl
import structlog

NEAR_MS: Final = 300_000
"""How far the time of a message may be from that of the messages that were received with it, ms. Delays are shorter."""
_NEIGHBOURS: Final = 101
"""Messages that say together how the exchange's time and that of their receipt differ."""
_AMOUNT: Final = re.compile(r"\d{1,15}(\.\d{1,15})?")

_log = structlog.get_logger(__name__)


class LeftOut:
    """Counts messages that are left out, and keeps the reason of the first."""

    def __init__(self) -> None:
        self.messages = 0
        self.first = ""

    def add(self, reason: str) -> None:
        """One more."""
        self.first = self.first or reason
        self.messages += 1

    def report(self, **of: str) -> None:
        """A warning, if there are any; `of` says of what."""
        if self.messages:
            _log.warning("tape_messages_left_out", messages=self.messages, first=self.first, **of)


def check_trade(price: str, quantity: str) -> None:
    """`ValueError` where one of them is no positive decimal; `TypeError` where it is no text."""
    for text in (price, quantity):
        if not _AMOUNT.fullmatch(text) or not text.strip("0."):
            raise ValueError(f"{text!r:.40} is no price or quantity of a trade")


def check_levels(levels: Iterable[tuple[str, str]]) -> None:
    """The same of the levels of a book, where both may be zero."""
    for text in chain.from_iterable(levels):
        if not _AMOUNT.fullmatch(text):
            raise ValueError(f"{text!r:.40} is no price or quantity of a level")


def are_displaced(received_ms: Sequence[int], times_ms: Sequence[int | None]) -> list[bool]:
    """Which messages have a time that is not near that of their neighbours, as seen by the times of receipt."""
    offsets = pl.Series(times_ms, dtype=pl.Int64) - pl.Series(received_ms, dtype=pl.Int64)
    usual = offsets.drop_nulls().rolling_median(_NEIGHBOURS, min_samples=1, center=True)
    found = iter((offsets.drop_nulls() - usual).abs() > NEAR_MS)
    return [time is not None and next(found) for time in times_ms]
