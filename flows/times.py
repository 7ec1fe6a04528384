"""Times that people and programs write: which texts are valid, and what they mean. The rule for every interface."""

import re
from datetime import UTC, datetime
from typing import Final

SECONDS_DIGITS: Final = 10
"""A number of so many digits is seconds; of any other number of digits it is milliseconds."""
ISO_PATTERN: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+ -][0-9]{2}:[0-9]{2})?)?"
)
"""A day, or a time of a day. A blank before an offset is the `+` of an address that is not encoded."""
EXAMPLE: Final = "write 2026-01-31, 2026-01-31T12:00:00Z, or milliseconds or seconds since 1970"

_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_ISO: Final = re.compile(ISO_PATTERN)
_BLANK_OFFSET: Final = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")
_SHORTEST_OFFSET: Final = len("2026-01-31T12:00 00:00")


def span_ms_of(start: str, end: str, behind: int) -> tuple[int, int]:
    """A span that people write, `[start, end)` in ms UTC: without a start from 0, without an end until `behind`.
    `ValueError` for what is no time, and for an end that is not later than the start.
    """
    first, last = time_ms_of(start) if start else 0, time_ms_of(end) if end else behind
    if last <= first:
        raise ValueError(f"the end {end or last} is not later than the start {start or first}")
    return first, last


def time_ms_of(text: str) -> int:
    """Milliseconds UTC since 1970 of milliseconds, seconds (10 digits), a day, or an ISO-8601 time, which is UTC unless
    it says otherwise. `ValueError`, with a text for the user, for anything else.
    """
    if _NUMBER.fullmatch(text):
        return int(text) * (1_000 if len(text) == SECONDS_DIGITS else 1)
    if _ISO.fullmatch(text):
        written = _BLANK_OFFSET.sub("+", text) if len(text) >= _SHORTEST_OFFSET else text
        try:
            moment = datetime.fromisoformat(written)
            return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{text[:40]!r} is no time: {EXAMPLE}")
