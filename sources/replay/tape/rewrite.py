"""Shifts times and ids in recorded payloads, as text, so that a tape can be played in a loop with ids that continue."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_MICROSECOND_DIGITS = 16


class Offsets(NamedTuple):
    """What is added to the times and ids of a tape."""

    time_ms: int = 0
    trade_id: int = 0
    aggregate_id: int = 0
    update_id: int = 0


_UPDATE = {"E": "time_ms", "T": "time_ms", "U": "update_id", "u": "update_id", "pu": "update_id"}
_FIELDS = {
    "trade": {"E": "time_ms", "T": "time_ms", "t": "trade_id"},
    "aggTrade": {"E": "time_ms", "T": "time_ms", "a": "aggregate_id", "f": "trade_id", "l": "trade_id"},
    "depth": _UPDATE | {"lastUpdateId": "update_id"},
    "bookTicker": _UPDATE,
    "kline": {"E": "time_ms", "t": "time_ms", "T": "time_ms", "f": "trade_id", "L": "trade_id"},
    "ticker": {"E": "time_ms", "O": "time_ms", "C": "time_ms", "F": "trade_id", "L": "trade_id"},
    "miniTicker": {"E": "time_ms"},
}
"""Which fields of a channel's payloads are times and ids. Prices are strings, so only these names are followed by a
digit."""

_CHANNEL = re.compile(r"[a-zA-Z]+")
_PATTERNS = {
    channel: re.compile(rb'"(' + "|".join(names).encode() + rb')":(\d+)') for channel, names in _FIELDS.items()
}


class Recorded:
    """Recorded payloads of one channel, shifted on access. Those of unknown channels stay unchanged."""

    def __init__(self, payloads: Sequence[bytes], channel: str, offsets: Offsets) -> None:
        kind = _CHANNEL.match(channel)
        self._payloads = payloads
        self._pattern = _PATTERNS.get(kind[0] if kind else "") if any(offsets) else None
        names = _FIELDS.get(kind[0] if kind else "", {})
        self._added = {name.encode(): getattr(offsets, offset) for name, offset in names.items()}
        self._times = {name.encode() for name, offset in names.items() if offset == "time_ms"}

    def __getitem__(self, index: int, /) -> bytes:
        payload = self._payloads[index]
        return payload if self._pattern is None else self._pattern.sub(self._moved, payload)

    def _moved(self, match: re.Match[bytes]) -> bytes:
        name, digits = match[1], match[2]
        added = self._added[name]
        if name in self._times and len(digits) >= _MICROSECOND_DIGITS:
            added *= 1_000
        return b'"%b":%d' % (name, int(digits) + added)
