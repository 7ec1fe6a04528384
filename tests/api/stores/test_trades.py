"""Reads of trade stores on disk, in a thread of its own."""

import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.errors import Problem
from api.stores.trades import Completeness, TradeArchive
from flows.model import Trade, TradeBatch
from flows.settings import Trades
from sinks.trades.codec import END_MS
from sinks.trades.merge import add_batches
from sinks.trades.store import TradeStore
from sinks.trades.writer import TradeWriter
from tests.fakes.trades import BEGIN, trade

HOUR = 3_600_000
OTHER = "binance-usdm"


def store(path: Path, trades: Sequence[Trade], *, venue: str = "binance") -> None:
    writer = TradeWriter(path / venue / "part-00", venue=venue, retention_days=0)
    writer.write([TradeBatch(venue, "BTCUSDT", list(trades))])
    writer.close()


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[TradeArchive]:
    made = TradeArchive(Trades(path=tmp_path), venues=("binance",))
    yield made
    await made.close()


async def newest(archive: TradeArchive, count: int, *, end_ms: int = END_MS) -> list[int]:
    return ids(await archive.newest("binance", "BTCUSDT", end_ms, count=count))


def ids(frame: pl.DataFrame) -> list[int]:
    return frame["id"].to_list()


async def test_the_newest_are_found_however_far_back_they_lie(archive: TradeArchive, tmp_path: Path) -> None:
    store(tmp_path, [trade(1, 0), trade(2, 5), trade(3, 30 * HOUR), trade(4, 31 * HOUR)])
    assert [await newest(archive, count) for count in (1, 2, 3, 9)] == [[4], [3, 4], [2, 3, 4], [1, 2, 3, 4]]
    assert await newest(archive, 2, end_ms=BEGIN + 31 * HOUR) == [2, 3]
    assert await newest(archive, 2, end_ms=BEGIN) == []


async def test_the_stores_of_all_venues_are_watched(tmp_path: Path) -> None:
    archive = TradeArchive(Trades(path=tmp_path), venues=("binance", "kraken"))
    states = [archive.watch.state]
    for venue in ("kraken", "binance"):
        store(tmp_path, [trade(1, 0)], venue=venue)
        await archive.check()
        states.append(archive.watch.state)
    with pytest.raises(Problem):
        await archive.symbols("coinbase")
    await archive.close()
    assert [state.up for state in (*states, archive.watch.state)] == [False, False, True, True]
    assert str(tmp_path / "binance") in states[1].reason
    assert str(tmp_path / "kraken") not in states[1].reason


async def test_a_symbol_without_trades_is_no_error(archive: TradeArchive, tmp_path: Path) -> None:
    store(tmp_path, [trade(1, 0)])
    empty = await archive.newest("binance", "ETHUSDT", END_MS, count=5)
    page = await archive.page("binance", "ETHUSDT", 0, END_MS, after=None, count=5)
    assert empty.rows() == page.rows() == []
    assert empty.schema == page.schema == (await archive.newest("binance", "BTCUSDT", END_MS, count=1)).schema
    assert await archive.last_time("binance", "ETHUSDT") is None
    assert await archive.completeness("binance", "ETHUSDT", HOUR) is None
    assert await archive.symbols("binance") == ["BTCUSDT"]


@pytest.mark.slow
@given(st.lists(st.sampled_from([0, 0, 1, 20_000, 90_000]), min_size=1, max_size=40), st.integers(1, 9))
async def test_pages_are_all_trades_once_also_where_many_are_of_one_moment(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], count: int
) -> None:
    path = tmp_path_factory.mktemp("trades")
    made = [trade(number, sum(steps[:number])) for number in range(1, len(steps) + 1)]
    store(path, made)
    archive = TradeArchive(Trades(path=path), venues=("binance",))
    found: list[tuple[int, int]] = []
    sizes: list[int] = []
    while not sizes or sizes[-1] == count:
        after = found[-1] if found else None
        page = await archive.page("binance", "BTCUSDT", BEGIN, END_MS, after=after, count=count)
        found += page.select("time", "id").rows()
        sizes.append(page.height)
    await archive.close()
    assert found == [(one.time, one.id) for one in made]
    assert max(sizes) <= count


async def test_rows_are_in_the_order_of_time_also_where_ids_are_not(archive: TradeArchive, tmp_path: Path) -> None:
    store(tmp_path, [trade(1, 10), trade(2, 30), trade(3, 20), trade(4, 30)])
    assert await newest(archive, 3) == [3, 2, 4]
    assert ids(await archive.page("binance", "BTCUSDT", BEGIN, END_MS, after=None, count=3)) == [1, 3, 2]
    after = BEGIN + 20, 3
    assert ids(await archive.page("binance", "BTCUSDT", BEGIN, END_MS, after=after, count=3)) == [2, 4]


async def test_what_is_written_meanwhile_is_read(archive: TradeArchive, tmp_path: Path) -> None:
    with TradeStore(tmp_path / "binance" / "part-00") as written:
        for number in (1, 2):
            add_batches(written, [TradeBatch("binance", "BTCUSDT", [trade(number, number)])])
            assert await archive.last_time("binance", "BTCUSDT") == BEGIN + number


async def test_frames_are_handed_over_in_the_reading_thread(archive: TradeArchive, tmp_path: Path) -> None:
    store(tmp_path, [trade(number, number * 60_000, float(number)) for number in range(6)])
    taken: list[tuple[str, list[str], list[float]]] = []

    def take(frame: pl.DataFrame) -> None:
        taken.append((threading.current_thread().name, frame.columns, frame["price"].to_list()))

    await archive.feed("binance", "BTCUSDT", BEGIN + 60_000, BEGIN + 240_000, take, columns=("price", "time"))
    assert taken == [("trade-reader_0", ["price", "time"], [1.0, 2.0, 3.0])]


async def test_completeness_is_what_is_held_of_the_ids_of_the_last_span(archive: TradeArchive, tmp_path: Path) -> None:
    held = [trade(1, 0), *(trade(number, HOUR + number) for number in (10, 11, 14, 19))]
    store(tmp_path, held)
    assert await archive.completeness("binance", "BTCUSDT", HOUR // 2) == Completeness(4, 10)
    assert await archive.completeness("binance", "BTCUSDT", 2 * HOUR) == Completeness(5, 19)


async def test_a_fill_that_is_not_of_the_market_is_held_and_not_shown(archive: TradeArchive, tmp_path: Path) -> None:
    insured = Trade("BTCUSDT", 2, BEGIN + 2, 100.0, 1.0, buyer_is_maker=False, event_time=0, fill="INSURANCE_FUND")
    store(tmp_path, [trade(1, 1), insured, trade(3, 3)])
    assert await newest(archive, 9) == [1, 3]
    assert await archive.completeness("binance", "BTCUSDT", HOUR) == Completeness(3, 3)


async def test_a_store_that_is_not_there_is_named_and_may_come(archive: TradeArchive, tmp_path: Path) -> None:
    await archive.check()
    assert (archive.watch.state.up, str(tmp_path / "binance") in archive.watch.state.reason) == (False, True)
    with pytest.raises(Problem, match="there is no trade store at") as refused:
        await archive.symbols("binance")
    assert (refused.value.code, refused.value.retry_after_s) == ("trade_store_absent", 5)
    store(tmp_path, [trade(1, 0)])
    assert await archive.symbols("binance") == ["BTCUSDT"]
    assert archive.watch.state.up


async def test_what_cannot_be_read_is_a_problem_until_it_can(archive: TradeArchive, tmp_path: Path) -> None:
    store(tmp_path, [trade(1, 0)])
    marker = tmp_path / "binance" / "part-00" / "CURRENT"
    whole = marker.read_bytes()
    marker.write_bytes(b"MANIFEST-999999\n")
    with pytest.raises(Problem) as refused:
        await archive.symbols("binance")
    assert (refused.value.code, archive.watch.state.up) == ("trade_store_absent", False)
    marker.write_bytes(whole)
    assert await newest(archive, 1) == [1]


async def test_another_venue_does_not_change_the_watch(archive: TradeArchive, tmp_path: Path) -> None:
    store(tmp_path, [trade(1, 0)])
    await archive.check()
    with pytest.raises(Problem):
        await archive.symbols(OTHER)
    assert archive.watch.state.up
    store(tmp_path, [trade(7, 0)], venue=OTHER)
    assert (await newest(archive, 1), ids(await archive.newest(OTHER, "BTCUSDT", END_MS, count=1))) == ([1], [7])
