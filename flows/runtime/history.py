"""Answers queries for history: reads the stored candles and fetches the missing ones from the venue."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from flows.model import Candle, Kline, timeframe_ms
from flows.operators.candles.backfill_spans import MOST_BACK, Span, missing_spans
from flows.queries import History, HistoryQuery, KlinesQuery

FetchKlines = Callable[[KlinesQuery], Awaitable[list[Kline]]]
"""The venue's klines; `QueryError` or another exception when they are unavailable."""

PAGE = 1_000
"""Candles fetched before an end without a start: one response of the venue. All might be millions."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class StoredCandles(Protocol):
    """The stored candles of one venue. Both methods may block, and raise the store driver's exceptions."""

    def complete_times(self, symbol: str, timeframe: str, start_ms: int) -> list[int]:
        """Open times, from `start_ms` on, of the candles that are closed and complete."""

    def between(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int, *, on_bad: Callable[[Exception], None]
    ) -> list[Candle]:
        """The candles that open in `[start_ms, end_ms)`. `on_bad` gets an error for each document that is none."""


class HistoryLoader:
    """Fetches missing candles, one request at a time with a pause in between, for all instruments together."""

    def __init__(self, stored: StoredCandles | None, fetch: FetchKlines, *, limit: int, pause_s: float) -> None:
        """Without a store the latest `limit` klines are fetched."""
        self._stored = stored
        self._fetch = fetch
        self._limit = limit
        self._pause_s = pause_s
        self._turn = asyncio.Lock()

    async def answer(self, query: HistoryQuery) -> list[History]:
        """The history of each timeframe, the shortest first; with the error where it is incomplete."""
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
        """The newest page of the stored candles of a span."""
        length = timeframe_ms(timeframe)
        faults: list[Exception] = []
        span = Span(max(query.start, query.end - PAGE * length), query.end - 1)
        try:
            known = await self._known(query, timeframe, span, length, faults)
        except Exception as error:  # noqa: BLE001 - whatever the store's driver raises
            return History(timeframe, [], {}, str(error) or repr(error))
        inside = {time: candle for time, candle in known.items() if time < query.end}
        return History(timeframe, [], inside, _summary(faults))

    async def _history(self, query: HistoryQuery, timeframe: str) -> History:
        length = timeframe_ms(timeframe)
        klines: list[Kline] = []
        known: dict[int, Candle] = {}
        faults: list[Exception] = []
        try:
            for span in await self._spans(query, timeframe, length):
                klines += await self._fetched(KlinesQuery(query.symbol, timeframe, span.start, span.end))
                known |= await self._known(query, timeframe, span, length, faults)
        except Exception as error:  # noqa: BLE001 - whatever the store's driver raises, or the venue
            return History(timeframe, klines, known, str(error) or repr(error))
        return History(timeframe, klines, known, _summary(faults))

    async def _spans(self, query: HistoryQuery, timeframe: str, length: int) -> list[Span]:
        """The spans to fetch."""
        if query.start or query.end:
            last = (min(query.end or query.now, query.now) - 1) // length * length
            first = -(-query.start // length) * length if query.start else max(0, last - (PAGE - 1) * length)
            return [Span(first, last)]
        complete_times = [] if query.forced else await self._complete_times(query, timeframe, length)
        return missing_spans(complete_times, length=length, now=query.now, limit=self._limit)

    async def _complete_times(self, query: HistoryQuery, timeframe: str, length: int) -> list[int]:
        if self._stored is None:
            return []
        start = query.now // length * length - (MOST_BACK + 1) * length
        return await _on_thread(self._stored.complete_times, query.symbol, timeframe, start)

    async def _known(
        self, query: HistoryQuery, timeframe: str, span: Span, length: int, faults: list[Exception]
    ) -> dict[int, Candle]:
        """The stored candles of a span by open time. Documents that are none count as not stored, and are `faults`."""
        if self._stored is None:
            return {}
        read = partial(self._stored.between, on_bad=faults.append)
        candles = await _on_thread(read, query.symbol, timeframe, span.start, span.end + length)
        return {candle.open_time: candle for candle in candles}

    async def _fetched(self, query: KlinesQuery) -> list[Kline]:
        async with self._turn:
            klines = await self._fetch(query)
            await asyncio.sleep(self._pause_s)
            return klines


def _summary(faults: Sequence[Exception]) -> str:
    """The first fault as a text, and how many more there are; empty without any."""
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{faults[0]}{more}" if faults else ""


async def _on_thread(function: Callable[..., T], *arguments: Any) -> T:
    """The result of a function on another thread. At the end of the process no thread can be started: then the caller
    is cancelled, as that is no error of the store.
    """
    try:
        work = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
    except RuntimeError as error:
        raise asyncio.CancelledError("the end has come") from error
    return await work
