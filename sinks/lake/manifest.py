"""What a lake says of its files: rows, ids, digests, and what proves that a day is whole."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal, Self, TypeAlias

import msgspec
from msgspec import Struct, structs

FORMAT: Final = 1
"""Of the lake; it rises when an older program could not read it."""
MOST_GAPS: Final = 100
"""Gaps that are named for a day; all of them are counted."""

Proven: TypeAlias = Literal["", "complete", "repaired", "unproven"]


class LakeError(Exception):
    """Something of a lake cannot be read or written; the text names it, its fault and what to do, in one line."""


class DayProof(Struct, frozen=True, kw_only=True):
    """What is known about the completeness of a day.

    `complete`: of trades every id between the trade before the day and the one behind it, of candles every period, all
    without doubt. `repaired`: the same, and some of it was missing at first. `unproven`: something is missing or in
    doubt, and `reason` says what. Empty for incidents, of which nothing says how many there are.
    """

    proof: Proven = ""
    reason: str = ""
    missing: int = 0
    """Trade ids, or periods."""
    gaps: tuple[tuple[int, int], ...] = ()
    """The first `MOST_GAPS` of them, both ids, or open times, inclusive."""


class LakeDay(Struct, frozen=True, kw_only=True):
    """A file of the lake."""

    revision: int
    """1 for the first version, plus one for each with other values."""
    rows: int
    first_id: int = -1
    """The lowest id of a trade, or of the trades of candles; -1 without any."""
    last_id: int = -1
    first_time: int = -1
    """Time of the first row, ms UTC; -1 without any."""
    last_time: int = -1
    size: int
    """Bytes of the file."""
    sha256: str
    """Of the file."""
    values: str
    """SHA-256 of the values, however they are encoded: two files with the same values have the same."""
    written_at: int
    """When this version was written, ms UTC of the wall clock."""
    checked_at: int
    """When it was last compared with the stores."""
    proof: DayProof = DayProof()
    before: "LakeDay | None" = None
    """The version whose file this one is about to replace; None when that is done."""

    def has(self, size: int, sha256: str = "") -> bool:
        """Whether a file may be the one of this version, by its size, and by its digest where that is given."""
        return self.size == size and sha256 in ("", self.sha256)


class LakeManifest(Struct, frozen=True):
    """The days of a series."""

    days: Mapping[str, LakeDay] = {}
    """By date, oldest first."""

    def with_day(self, day: str, entry: LakeDay) -> Self:
        """With another version of a day."""
        return structs.replace(self, days=dict(sorted({**self.days, day: entry}.items())))


_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_days = msgspec.json.Decoder(dict[str, LakeDay]).decode
_encode = msgspec.json.Encoder().encode


def encode_manifest(manifest: LakeManifest, of: Mapping[str, str]) -> bytes:
    """A manifest as JSON, a line for each day. `of` are the names of its series."""
    lines = ",\n".join(f"{_encode(day).decode()}:{_encode(entry).decode()}" for day, entry in manifest.days.items())
    head = _encode({"format": FORMAT, **of}).decode().removesuffix("}")
    days = f"{{{lines}}}"
    return f'{head},"days_sha256":"{_digest(days.encode())}",\n"days":{days}}}\n'.encode()


def decode_manifest(text: bytes) -> LakeManifest:
    """The manifest of a text. `ValueError` when it is none, or not as it was written."""
    try:
        found = _decode(text)
        number: Any = msgspec.json.decode(found["format"])
        if number != FORMAT:
            raise ValueError(f"it is of format {number}, and this program reads {FORMAT}")
        if msgspec.json.decode(found["days_sha256"]) != _digest(bytes(found["days"])):
            raise ValueError("it is not as it was written")
        return LakeManifest(_decode_days(found["days"]))
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise ValueError(f"it is no manifest ({error})") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
