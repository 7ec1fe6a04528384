"""Times as texts, as the venues write them."""

from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(time_ms: int, digits: int = 6) -> str:
    """A time in UTC with so many digits of a second, at least three."""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1_000:03d}{'0' * (digits - 3)}Z"


def shifted(text: str, by_ms: int) -> str:
    """A time as the venues write it, moved; its digits below a millisecond stay."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(f"{seconds}+00:00") + timedelta(
        milliseconds=by_ms + int(fraction[:3].ljust(3, "0"))
    )
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1_000:03d}{fraction[3:]}Z"


def later_text(text: str, by_ms: int) -> str | None:
    """The same; None for a text that is no time, or one moved beyond the calendar."""
    try:
        return shifted(text, by_ms)
    except (ValueError, OverflowError):
        return None


def later(value: Any, by_ms: int) -> Any:
    """A time as messages and REST have it, moved: a text as those above, or seconds; None for what is no time."""
    match value:
        case bool():
            return None
        case int():
            return value + by_ms // 1_000
        case float():
            return value + by_ms / 1_000
        case str():
            return later_text(value, by_ms)
    return None
