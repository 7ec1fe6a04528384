"""Where a flow begins that takes a shard over: behind the last trade of a closed candle that the owner before it has
stored. The candle names its raw ids, and the trade's own id stands on the bus, where the same owner has published it.

It is not the newest of the closed candles but the one before, since the trades of the newest one may not have been on
the disk of the other host when that ended; so they are fetched and stored here too.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Final, TypeAlias

import msgspec
import structlog
from msgspec import Struct
from pymongo import ReadPreference
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from flows.clock import monotonic_ms
from flows.model import COMPLETE, Candle, timeframe_ms
from flows.queries import Continued
from flows.runtime.query_handlers import open_database
from flows.runtime.stored_trades import Begin
from flows.settings import Settings
from flows.texts import database_reason
from sinks.bus.stored import BusError, NoStreamError
from sinks.bus.subjects import channel_of
from sinks.mongo.reader import CandleReader

MARGIN_MS: Final = 60_000
"""What is read of the stream besides two periods before the owner was last seen."""
READ_S: Final = 60.0
"""Longest time until it is read. While the bus has no leader, as when its host is lost too, it is tried again."""
RETRY_S: Final = 0.2
STORE_S: Final = 10.0
"""Longest wait for MongoDB, with a last attempt of some seconds behind it."""
_CANDLES: Final = 6

_log = structlog.get_logger(__name__)

Begins: TypeAlias = Mapping[str, Mapping[str, Begin]]
"""By venue and symbol where to begin."""


class _Row(Struct, frozen=True):
    id: int
    last_id: int
    timestamp: int


class _Body(Struct, frozen=True):
    symbol: str
    venue: str
    trades: list[_Row]


class _Message(Struct, frozen=True):
    data: _Body


_DECODER: Final = msgspec.json.Decoder(_Message)


def read_back_since(settings: Settings, before_ms: int) -> int:
    """From when on the stream is read; 0 where there was no owner before. `before_ms` is when it was last seen."""
    longest = max(timeframe_ms(feed.timeframes[0]) for feed in settings.by_venue.values())
    return max(1, before_ms - 2 * longest - MARGIN_MS) if before_ms else 0


def begins(settings: Settings, since_ms: int) -> Begins:
    """Where to begin. Symbols that neither bus nor store knows are not in it, and begin like any other. `BusError` when
    that cannot be known: beginning anywhere else would leave a gap.
    """
    published = asyncio.run(_read(settings, since_ms))
    found: dict[str, dict[str, Begin]] = {}
    stored = _StoredCandles(settings)
    for (venue, symbol), rows in published.items():
        candles = stored.closed(venue, symbol, max(row[2] for row in rows))
        if candles is None:
            begin = begin_without_candles(rows, timeframe_ms(settings.by_venue[venue].timeframes[0]))
        else:
            begin = begin_of(rows, candles)
        if isinstance(begin, Continued):
            begin = begin._replace(before=stored.before(venue, symbol, begin.whole_from))
        found.setdefault(venue, {})[symbol] = begin
    _log.info("takeover", since_ms=since_ms, symbols=sum(map(len, found.values())))
    return found


def begin_of(rows: Sequence[tuple[int, int, int]], candles: Sequence[Candle]) -> Begin:
    """Where a symbol begins: `rows` are id, last raw id and time of what was published, at least one; `candles` the
    closed ones of the shortest timeframe, oldest first.
    """
    by_last = {last: (number, time) for number, last, time in rows}
    known = [candle for candle in candles if candle.status in COMPLETE and candle.trades and candle.last_id in by_last]
    if not known:  # what was published may not be on the disk of the other host: all that was read is fetched
        number, _, time = min(rows)
        return number - 1, time
    candle = known[-2] if len(known) > 1 else known[-1]
    number, time = by_last[candle.last_id]
    return Continued(number, time, candle.close_time + 1, known[-1].close_time + 1)


def begin_without_candles(rows: Sequence[tuple[int, int, int]], length: int) -> Begin:
    """Where a symbol begins while the stored candles cannot be read: at the first period of `length` ms of which all
    trades were read. The one before it has been closed, and must not be made anew of a part of its trades.
    """
    begin = min(row[2] for row in rows)
    whole_from = begin + length - begin % length
    if all(row[2] < whole_from for row in rows):
        first = min(rows)
        return first[0] - 1, first[2]
    last = max(row for row in rows if row[2] < whole_from)
    return Continued(last[0], last[2], whole_from, whole_from)


class _StoredCandles:
    """The stored candles. Where the primary is on the lost host too another server has them, maybe without the very
    last; while none answers that is waited for, in all at most `STORE_S`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._until = monotonic_ms() + int(STORE_S * 1_000)
        self._database = (
            open_database(settings.mongo).with_options(
                read_preference=ReadPreference.PRIMARY_PREFERRED, read_concern=ReadConcern("majority")
            )
            if settings.mongo.enabled
            else None
        )

    def closed(self, venue: str, symbol: str, newest: int) -> list[Candle] | None:
        """The closed ones of the shortest timeframe until a time, oldest first; None where that cannot be known."""
        timeframe = self._settings.by_venue[venue].timeframes[0]
        length = timeframe_ms(timeframe)
        found = self._between(venue, symbol, timeframe, newest - _CANDLES * length, newest + length)
        return None if found is None else [candle for candle in found if candle.is_closed]

    def before(self, venue: str, symbol: str, end: int) -> tuple[Candle, ...]:
        """The closed ones before a time of which the longer periods are made that run then."""
        found: list[Candle] = []
        for shorter, longer in pairwise(self._settings.by_venue[venue].timeframes):
            some = self._between(venue, symbol, shorter, end - end % timeframe_ms(longer), end)
            if some is None:
                return ()
            found += some
        return tuple(candle for candle in found if candle.is_closed and candle.close_time < end)

    def _between(self, venue: str, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> list[Candle] | None:
        if self._database is None:
            return []
        reader = CandleReader(self._database, venue=venue)
        while True:
            try:
                return reader.between(symbol, timeframe, start_ms, end_ms, on_bad=lambda _: None)
            except PyMongoError as error:
                if monotonic_ms() > self._until:
                    _log.warning("takeover_without_candles", venue=venue, symbol=symbol, reason=database_reason(error))
                    return None
                time.sleep(RETRY_S)


async def _read(settings: Settings, since_ms: int) -> dict[tuple[str, str], list[tuple[int, int, int]]]:
    reason = "it was not answered"
    try:
        async with asyncio.timeout(READ_S):
            while True:
                try:
                    return await _published(settings, since_ms)
                except NoStreamError:
                    return {}
                except BusError as error:
                    if reason != str(error):
                        _log.info("takeover_waits", reason=str(error))
                    reason = str(error)
                    await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise BusError(f"what was published of the shard cannot be read: {reason}") from None


async def _published(settings: Settings, since_ms: int) -> dict[tuple[str, str], list[tuple[int, int, int]]]:
    """Id, last raw id and time of the trades by venue and symbol."""
    from sinks.bus.client import connected  # noqa: PLC0415 - only where there is a bus

    own = {(name, symbol) for name, feed in settings.by_venue.items() for symbol in feed.own_symbols}
    found: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    async with connected(settings.bus, "marketflow takeover") as client:
        span = await client.span()
        async with aclosing(client.past(until=span.last, since_ms=since_ms)) as messages:
            async for stored in messages:
                if channel_of(stored.subject) == "Trade":
                    _take(stored.body, own, found)
    return found


def _take(body: bytes, own: set[tuple[str, str]], found: dict[tuple[str, str], list[tuple[int, int, int]]]) -> None:
    try:
        data = _DECODER.decode(body).data
    except msgspec.DecodeError:
        return  # of no flow
    if (key := (data.venue, data.symbol)) in own:
        found.setdefault(key, []).extend((row.id, row.last_id, row.timestamp) for row in data.trades)
