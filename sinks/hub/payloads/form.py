"""Conversion of the model to payloads, field by field."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from msgspec import Struct
from msgspec.structs import fields

Item = TypeVar("Item")

_LAST_MS: Final = 253_402_300_799_999


def iso_utc(time_ms: int) -> str:
    """Milliseconds since the epoch as ISO-8601: `2025-01-01T00:00:00Z`, or `2025-01-01T00:00:00.250Z`. Times
    out of range become the epoch, or the end of the year 9999.
    """
    second, milliseconds = divmod(min(max(time_ms, 0), _LAST_MS), 1_000)
    return f"{_iso_second(second)}.{milliseconds:03}Z" if milliseconds else f"{_iso_second(second)}Z"


def iso_utc_or_none(time_ms: int) -> str | None:
    """As `iso_utc`; None for 0, an unknown time."""
    return iso_utc(time_ms) if time_ms else None


@lru_cache(maxsize=4_096)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Payload(Struct, Generic[Item], frozen=True):
    """The payload of an item of the model: each field is the item's field of the same name.

    Those in `times` are the item's time that is named there: a number as in the model, or ISO-8601 where the field is
    text. Such a field that may be null is null for a time of 0, which the venue did not report.
    """

    times: ClassVar[Mapping[str, str]] = {}
    given: ClassVar[int] = 0
    """Number of the last fields that the item does not have."""

    @classmethod
    def of(cls, item: Item, *given: str) -> Self:
        """From the model, and the values of the `given` fields."""
        read, converted = _reading(cls)
        values = list(read(item))
        for place, convert in converted:
            values[place] = convert(values[place])
        return cls(*values, *given)


@cache
def _reading(payload: type[Payload[Any]]) -> tuple[Callable[[Any], Any], list[tuple[int, Callable[[int], Any]]]]:
    """The getter of a payload's values from an item, and by index the conversions of times."""
    own = fields(payload)[: -payload.given or None]
    read = attrgetter(*(payload.times.get(field.name, field.name) for field in own))
    timed = [(place, field.type) for place, field in enumerate(own) if field.name in payload.times]
    return read, [(place, _CONVERSIONS[kind]) for place, kind in timed if kind is not int]


_CONVERSIONS: Final[Mapping[Any, Callable[[int], Any]]] = {
    str: iso_utc,
    str | None: iso_utc_or_none,
    int | None: lambda time_ms: time_ms or None,
}
"""Conversion of a time by the type of its field."""
