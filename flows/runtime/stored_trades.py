"""Answers queries about the trade store: its newest trade, and whether emitted trades are missing in it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import structlog

from flows.model import Trade
from flows.queries import Continued, LastTradeQuery, QueryError, StoreCheckQuery, TradesQuery
from sinks.trades.begins import FirstTrade, TradeBegins
from sinks.trades.reader import TradeReader
from sinks.trades.record_checks import BadRecord
from sinks.trades.store import TradeStoreError
from sinks.trades.stored_records import leave_out

FetchTrades = Callable[[TradesQuery], Awaitable[list[Trade]]]
"""The venue's trades; `QueryError` or another exception when they are unavailable."""

Newest = tuple[int, int]
"""Id and time (ms UTC) of a trade."""

Begin: TypeAlias = Newest | Continued
"""Behind which trade a symbol begins."""
NO_BEGINS: Final[Mapping[str, Begin]] = {}

T = TypeVar("T")
_UNKNOWN = -1
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses between attempts to open a store that cannot be read."""
_log = structlog.get_logger(__name__)


async def _opened(path: Path) -> TradeReader:
    """A reader, after retries: the writer of this process may be about to open the store, and repairs or reports
    damage.
    """
    for pause_s in _PAUSES_S:
        with suppress(TradeStoreError):
            return await asyncio.to_thread(TradeReader, path)
        await asyncio.sleep(pause_s)
    return await asyncio.to_thread(TradeReader, path)


class StoredTrades:
    """The trade store of a venue at `path`, as an earlier process left it. Every instrument queries once, at its start:
    they share one reader, which is closed when no query is open.
    """

    def __init__(self, path: Path | None, fetch: FetchTrades, *, begins: Mapping[str, Begin] = NO_BEGINS) -> None:
        """Without a path nothing is stored. `begins` are those of symbols that another process has followed."""
        self._taken_over = begins
        self._path = path
        self._fetch = fetch
        self._begins = TradeBegins(path) if path else None
        self._open: TradeReader | None = None
        self._users = 0
        self._turn = asyncio.Lock()

    async def last_trade(self, query: LastTradeQuery) -> Begin | None:
        """The newest stored trade, or the id before the first one that an earlier process received; None without
        either. `QueryError` when the store cannot be read.
        """
        if (begin_there := self._taken_over.get(query.symbol)) is not None:
            return begin_there
        if self._begins is None or query.first_id < 0:
            return None
        newest = await self._read(partial(_newest_of, symbol=query.symbol, counts_fills=False))
        if newest is not None:
            return newest
        begin = await self._begin(query.symbol)
        if begin is not None and begin.id <= query.first_id:
            _log.info("begins_behind_first_trade_seen", symbol=query.symbol, first_id=begin.id)
            return begin.id - 1, begin.time
        await self._note_begin(self._begins, query.symbol, FirstTrade(query.first_id, query.first_time))
        return None

    async def missing(self, query: StoreCheckQuery) -> Newest | None:
        """The newest stored trade if it is not `last_id`, or the id before trades that the store has lost, or before
        the first one ever received, or -1; None when nothing is missing.
        """
        if self._begins is None:
            return None
        known = await self._read(partial(_known_of, symbol=query.symbol, counts_fills=query.counts_fills))
        if known:
            return min((one for one in known if one[0] < query.last_id), default=None)
        begin = await self._begin(query.symbol)
        if begin is not None and begin.id <= query.last_id:
            return begin.id - 1, begin.time
        return _UNKNOWN, 0

    async def _read(self, read: Callable[[TradeReader], T]) -> T | None:
        """The result of a function on the store; None without a store."""
        if self._path is None or not self._path.is_dir():
            return None
        async with self._reader(self._path) as reader:
            return await asyncio.to_thread(read, reader)

    @asynccontextmanager
    async def _reader(self, path: Path) -> AsyncIterator[TradeReader]:
        self._users += 1
        try:
            async with self._turn:
                if self._open is None:
                    self._open = await _opened(path)
                yield self._open
        except TradeStoreError as error:
            raise QueryError(str(error)) from error
        finally:
            self._users -= 1
            if not self._users and self._open is not None:
                reader, self._open = self._open, None
                await asyncio.to_thread(reader.close)

    async def _begin(self, symbol: str) -> FirstTrade | None:
        """The first trade ever received, unless the venue does not have it: the first message may have been wrong. When
        the venue does not answer it is trusted: what is missing after it is then fetched or reported.
        """
        noted = self._begins.read(symbol) if self._begins else None
        if noted is None:
            return None
        try:
            found = await self._fetch(TradesQuery(symbol, noted.id, noted.id, noted.time, noted.time))
        except Exception as error:  # noqa: BLE001 - whatever the venue's client raises
            _log.warning("first_trade_not_confirmed", symbol=symbol, first_id=noted.id, reason=str(error))
            return noted
        return noted if any((one.id, one.time) == (noted.id, noted.time) for one in found) else None

    async def _note_begin(self, begins: TradeBegins, symbol: str, first: FirstTrade) -> None:
        try:
            await asyncio.to_thread(begins.write, symbol, first)
        except OSError as error:
            _log.warning("first_trade_not_noted", symbol=symbol, first_id=first.id, reason=str(error))


def _known_of(reader: TradeReader, *, symbol: str, counts_fills: bool) -> list[Newest]:
    """The newest trade, and the id before those that the store has lost; empty without any trade."""
    newest, before_lost = _newest_of(reader, symbol=symbol, counts_fills=counts_fills), reader.before_lost(symbol)
    return [] if newest is None else [one for one in (newest, before_lost) if one is not None]


def _newest_of(reader: TradeReader, *, symbol: str, counts_fills: bool) -> Newest | None:
    """The newest trade that can be read: what a record behind it held is fetched like what was missed."""
    last_id = (reader.last_fill if counts_fills else reader.last_id)(symbol, on_bad=_note)
    last_time = reader.last_time(symbol, on_bad=leave_out)
    return None if last_id is None or last_time is None else (last_id, last_time)


def _note(record: BadRecord) -> None:
    _log.error("trade_record_unreadable", record=record.name, reason=record.reason)
