"""Candles as charts show them, in JSON, each encoded once: of a chart that is asked for again only the end is new."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from api.live.candle_cache import SeriesKey
from flows.model import Candle
from sinks.hub.payloads import ChartCandle

CHARTS_HELD: Final = 200
"""Charts that are remembered, one of each series; then the one that was not asked for longest goes."""

_JSON = msgspec.json.Encoder()


class ChartJsonCache:
    """Remembers the JSON of what was asked for last of each series."""

    def __init__(self, most: int = CHARTS_HELD) -> None:
        self._most = most
        self._held: OrderedDict[SeriesKey, tuple[list[Candle], bytes]] = OrderedDict()

    def json(self, key: SeriesKey, candles: list[Candle]) -> msgspec.Raw:
        """The candles of a series as a list of `ChartCandle`."""
        past, newest = candles[:-1], candles[-1:]
        known, encoded = self._held.get(key, ([], b""))
        if known != past:  # candles that stay are the same objects, and lists look at that first
            encoded = _encoded(past)
            self._held[key] = past, encoded
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        if past:
            self._held.move_to_end(key)
        return msgspec.Raw(b"[%b%b%b]" % (encoded, b"," if past else b"", _encoded(newest)))


def _encoded(candles: Iterable[Candle]) -> bytes:
    """Without the brackets."""
    return _JSON.encode([ChartCandle.of(candle) for candle in candles])[1:-1]
