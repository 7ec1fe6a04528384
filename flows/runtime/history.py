"""Answers what machines ask about the past: what the store has, and what the venue must add to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import structlog

from flows.model import Candle, Kline, timeframe_ms
from flows.operators.candles.backfill_spans import MOST_BACK, Span, missing_spans
from flows.queries import History, HistoryQuery, KlinesQuery

FetchKlines = Callable[[KlinesQuery], Awaitable[list[Kline]]]
"""The venue's klines; `QueryError` or another exception when they cannot be had."""

PAGE = 1_000
"""Candles before an end that are fetched when no start is named: one answer of the venue. All may be millions."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class StoredCandles(Protocol):
    """What is stored of one venue. Both may block, and raise whatever the store's driver raises."""

    def whole(self, symbol: str, timeframe: str, start_ms: int) -> list[int]:
        """Open times, from `start_ms` on, of the candles that are closed and lack nothing."""

    def between(self, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> list[Candle]:
        """The candles that open in `[start_ms, end_ms)`."""


class HistoryLoader:
    """Fetches what a store lacks, one request at a time with a pause in between, for all instruments together."""

    def __init__(self, stored: StoredCandles | None, fetch: FetchKlines, *, limit: int, pause_s: float) -> None:
        """Without a store the latest `limit` klines are fetched."""
        self._stored = stored
        self._fetch = fetch
        self._limit = limit
        self._pause_s = pause_s
        self._turn = asyncio.Lock()

    async def answer(self, query: HistoryQuery) -> list[History]:
        """One timeframe after the other, the shortest first; what cannot be had says why."""
        if query.is_stored:
            return [await self._stored_only(query, timeframe) for timeframe in query.timeframes]
        histories = [await self._history(query, timeframe) for timeframe in query.timeframes]
        fetched = sum(len(history.klines) for history in histories)
        errors = [history.error for history in histories if history.error]
        if errors:
            _log.warning("history_incomplete", symbol=query.symbol, klines=fetched, reason=errors[-1])
        else:
            _log.info("history_fetched", symbol=query.symbol, klines=fetched, timeframes=list(query.timeframes))
        return histories

    async def _stored_only(self, query: HistoryQuery, timeframe: str) -> History:
        """The newest page of what is stored of a span."""
        length = timeframe_ms(timeframe)
        try:
            known = await self._known(
                query, timeframe, Span(max(query.start, query.end - PAGE * length), query.end - 1), length
            )
        except Exception as error:  # noqa: BLE001 - whatever the store's driver raises
            return History(timeframe, [], {}, str(error) or repr(error))
        return History(timeframe, [], {time: candle for time, candle in known.items() if time < query.end})

    async def _history(self, query: HistoryQuery, timeframe: str) -> History:
        length = timeframe_ms(timeframe)
        klines: list[Kline] = []
        known: dict[int, Candle] = {}
        try:
            for span in await self._spans(query, timeframe, length):
                klines += await self._fetched(KlinesQuery(query.symbol, timeframe, span.start, span.end))
                known |= await self._known(query, timeframe, span, length)
        except Exception as error:  # noqa: BLE001 - whatever the store's driver raises, or the venue
            return History(timeframe, klines, known, str(error) or repr(error))
        return History(timeframe, klines, known)

    async def _spans(self, query: HistoryQuery, timeframe: str, length: int) -> list[Span]:
        """What to fetch."""
        if query.start or query.end:
            last = (min(query.end or query.now, query.now) - 1) // length * length
            first = -(-query.start // length) * length if query.start else max(0, last - (PAGE - 1) * length)
            return [Span(first, last)]
        whole = [] if query.forced else await self._whole(query, timeframe, length)
        return missing_spans(whole, length=length, now=query.now, limit=self._limit)

    async def _whole(self, query: HistoryQuery, timeframe: str, length: int) -> list[int]:
        if self._stored is None:
            return []
        start = query.now // length * length - (MOST_BACK + 1) * length
        return await _on_thread(self._stored.whole, query.symbol, timeframe, start)

    async def _known(self, query: HistoryQuery, timeframe: str, span: Span, length: int) -> dict[int, Candle]:
        if self._stored is None:
            return {}
        end = span.end + length
        candles = await _on_thread(self._stored.between, query.symbol, timeframe, span.start, end)
        return {candle.open_time: candle for candle in candles}

    async def _fetched(self, query: KlinesQuery) -> list[Kline]:
        async with self._turn:
            klines = await self._fetch(query)
            await asyncio.sleep(self._pause_s)
            return klines


async def _on_thread(function: Callable[..., T], *arguments: Any) -> T:
    """What a function gives on another thread. When the process ends there are no more threads, and whoever asks is
    cancelled: that is no fault of the store.
    """
    try:
        work = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
    except RuntimeError as error:
        raise asyncio.CancelledError("the end has come") from error
    return await work
