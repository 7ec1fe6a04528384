"""JSON of the candles of charts, encoded once: for a repeated request only the newest candle is encoded again."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from api.live.candle_cache import SeriesKey
from flows.model import Candle
from sinks.hub.payloads import ChartCandle

CHARTS_HELD: Final = 200
"""Cached charts, one for each series; beyond that the least recently used is dropped."""

_JSON = msgspec.json.Encoder()


class ChartJsonCache:
    """The JSON of the last requested candles of each series."""

    def __init__(self, most: int = CHARTS_HELD) -> None:
        self._most = most
        self._held: OrderedDict[SeriesKey, tuple[list[Candle], bytes]] = OrderedDict()

    def json(self, key: SeriesKey, candles: list[Candle]) -> msgspec.Raw:
        """The candles of a series as a list of `ChartCandle`."""
        past, newest = candles[:-1], candles[-1:]
        known, encoded = self._held.get(key, ([], b""))
        if known != past:  # unchanged candles are the same objects, and list comparison checks identity first
            encoded = _encoded(past)
            self._held[key] = past, encoded
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        if past:
            self._held.move_to_end(key)
        return msgspec.Raw(b"[%b%b%b]" % (encoded, b"," if past else b"", _encoded(newest)))


def _encoded(candles: Iterable[Candle]) -> bytes:
    """A JSON array without its brackets."""
    return _JSON.encode([ChartCandle.of(candle) for candle in candles])[1:-1]
