import asyncio
from collections.abc import Callable, Sequence

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from flows.model import Candle, Kline
from flows.queries import HistoryQuery, KlinesQuery, QueryError
from flows.runtime.history import PAGE, HistoryLoader
from tests.fakes.candles import BEGIN, candle, kline_like

MINUTE = 60_000
NOW = BEGIN + 100 * MINUTE + 5


class Store:
    """A store with these candles."""

    def __init__(self, candles: Sequence[Candle] = ()) -> None:
        self.candles = candles

    def complete_times(self, symbol: str, timeframe: str, start_ms: int) -> list[int]:
        return [c.open_time for c in self._of(timeframe) if c.is_closed and c.status != "partial"]

    def between(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int, *, on_bad: Callable[[Exception], None]
    ) -> list[Candle]:
        found = [c for c in self._of(timeframe) if start_ms <= c.open_time < end_ms]
        for one in found:
            if one.volume < 0:
                on_bad(ValueError(f"the candle of {one.open_time} cannot be read"))
        return [one for one in found if one.volume >= 0]

    def _of(self, timeframe: str) -> list[Candle]:
        return [c for c in self.candles if c.timeframe == timeframe]


class BrokenStore(Store):
    """A store that is away."""

    def complete_times(self, symbol: str, timeframe: str, start_ms: int) -> list[int]:
        raise OSError("the server is away")


class Venue:
    """A venue that has a kline for every minute, and notes what it is asked."""

    def __init__(self, *, failing: bool = False) -> None:
        self.asked: list[KlinesQuery] = []
        self.failing = failing

    async def klines(self, query: KlinesQuery) -> list[Kline]:
        self.asked.append(query)
        if self.failing:
            raise QueryError("no network")
        count = (query.end - query.start) // MINUTE + 1
        return [kline_like(candle((query.start - BEGIN) // MINUTE + number)) for number in range(count)]


def loader(venue: Venue, store: Store | None = None, *, limit: int = 20) -> HistoryLoader:
    return HistoryLoader(store, venue.klines, limit=limit, pause_s=0)


def minutes(times: Sequence[int]) -> list[int]:
    return [(time - BEGIN) // MINUTE for time in times]


async def test_without_a_store_the_latest_klines() -> None:
    venue = Venue()
    [history] = await loader(venue).answer(HistoryQuery("BTCUSDT", ("1m",), NOW))
    assert minutes([kline.open_time for kline in history.klines]) == list(range(80, 100))
    assert (history.timeframe, history.stored, history.error) == ("1m", {}, "")


async def test_only_what_is_missing_or_recent_is_fetched_and_what_is_stored_comes_with_it() -> None:
    stored = [candle(n) for n in range(60, 100) if n != 70] + [candle(65, status="partial")]
    stored = [c for c in stored if c.open_time != candle(65).open_time or c.status == "partial"]
    venue = Venue()
    [history] = await loader(venue, Store(stored)).answer(HistoryQuery("BTCUSDT", ("1m",), NOW))
    assert [minutes([query.start, query.end]) for query in venue.asked] == [[65, 65], [70, 70], [90, 99]]
    assert minutes(sorted(history.stored)) == [65, *range(90, 100)]


async def test_a_forced_look_fetches_what_is_stored_too() -> None:
    venue = Venue()
    store = Store([candle(n) for n in range(60, 100)])
    [history] = await loader(venue, store).answer(HistoryQuery("BTCUSDT", ("1m",), NOW, forced="request"))
    assert minutes([kline.open_time for kline in history.klines]) == list(range(80, 100))


async def test_what_cannot_be_had_says_why_and_the_other_timeframes_follow() -> None:
    failed = await loader(Venue(failing=True)).answer(HistoryQuery("BTCUSDT", ("1m", "5m"), NOW))
    assert [(history.timeframe, history.error) for history in failed] == [("1m", "no network"), ("5m", "no network")]
    [broken] = await loader(Venue(), BrokenStore()).answer(HistoryQuery("BTCUSDT", ("1m",), NOW))
    assert (broken.klines, broken.error) == ([], "the server is away")


async def test_a_span_is_fetched_as_it_is_wanted() -> None:
    venue = Venue()
    start, end = BEGIN + 3 * MINUTE + 1, BEGIN + 9 * MINUTE
    await loader(venue, Store([candle(4)])).answer(HistoryQuery("BTCUSDT", ("1m",), NOW, "request", start, end))
    assert [minutes([query.start, query.end]) for query in venue.asked] == [[4, 8]]


async def test_a_span_without_an_end_is_fetched_until_now() -> None:
    venue = Venue()
    await loader(venue).answer(HistoryQuery("BTCUSDT", ("1m",), NOW, "request", start=BEGIN + 97 * MINUTE))
    assert [minutes([query.start, query.end]) for query in venue.asked] == [[97, 100]]


async def test_without_a_start_a_page_before_the_end_is_fetched_and_not_all_there_ever_was() -> None:
    venue = Venue()
    await loader(venue).answer(HistoryQuery("BTCUSDT", ("1m",), NOW, "request", end=BEGIN + 9 * MINUTE))
    await loader(venue).answer(HistoryQuery("BTCUSDT", ("1m",), NOW, "request", end=NOW + 9 * MINUTE))
    await loader(venue).answer(HistoryQuery("BTCUSDT", ("1m",), NOW, "request", end=3 * MINUTE))
    before_nine, newest, first_ever = [minutes([query.start, query.end]) for query in venue.asked]
    assert (before_nine, newest) == ([8 - 999, 8], [100 - 999, 100])
    assert first_ever == minutes([0, 2 * MINUTE])


async def test_what_is_stored_of_a_span_is_told_without_asking_the_venue() -> None:
    venue, stored = Venue(), [candle(n, revision=n) for n in range(60, 80)]
    span = HistoryQuery("BTCUSDT", ("1m",), NOW, "r", BEGIN + 65 * MINUTE, BEGIN + 70 * MINUTE, is_stored=True)
    [history] = await loader(venue, Store(stored)).answer(span)
    assert history.stored == {one.open_time: one for one in stored[5:10]}
    assert (history.klines, venue.asked) == ([], [])


async def test_no_more_than_a_page_of_what_is_stored_is_told() -> None:
    stored = [candle(n) for n in range(PAGE + 7)]
    span = HistoryQuery("BTCUSDT", ("1m",), NOW, "r", BEGIN, BEGIN + (PAGE + 7) * MINUTE, is_stored=True)
    [history] = await loader(Venue(), Store(stored)).answer(span)
    assert sorted(history.stored) == [one.open_time for one in stored[7:]]


async def test_a_store_that_does_not_tell_what_is_stored_is_named() -> None:
    class Away(Store):
        def between(self, *_: object, **__: object) -> list[Candle]:
            raise OSError("the server is away")

    span = HistoryQuery("BTCUSDT", ("1m",), NOW, "r", BEGIN, BEGIN + MINUTE, is_stored=True)
    [history] = await loader(Venue(), Away()).answer(span)
    assert (history.stored, history.error) == ({}, "the server is away")


async def test_at_the_end_of_the_process_nothing_is_said_of_the_store() -> None:
    await asyncio.get_running_loop().shutdown_default_executor()
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await loader(Venue(), Store()).answer(HistoryQuery("BTCUSDT", ("1m",), NOW))
    assert logs == []


async def test_what_cannot_be_read_in_the_store_is_named_and_everything_else_comes() -> None:
    venue, stored = Venue(), [candle(n, volume=-1.0 if n in (65, 66) else 12.5) for n in range(60, 90)]
    fetched = HistoryQuery("BTCUSDT", ("1m",), NOW, "r", BEGIN + 62 * MINUTE, BEGIN + 70 * MINUTE)
    [history] = await loader(venue, Store(stored)).answer(fetched)
    assert minutes([kline.open_time for kline in history.klines]) == [62, 63, 64, 65, 66, 67, 68, 69]
    assert minutes(sorted(history.stored)) == [62, 63, 64, 67, 68, 69]
    assert history.error == f"the candle of {BEGIN + 65 * MINUTE} cannot be read; and 1 more"
    told = structs.replace(fetched, is_stored=True)
    [history] = await loader(venue, Store(stored)).answer(told)
    assert minutes(sorted(history.stored)) == [62, 63, 64, 67, 68, 69]
    assert history.error
