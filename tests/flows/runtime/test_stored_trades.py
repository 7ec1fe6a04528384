import asyncio
from pathlib import Path

import pytest

from flows.model import AggregateTrade, Trade, TradeBatch
from flows.queries import LastTradeQuery, QueryError, StoreCheckQuery, TradesQuery
from flows.runtime.stored_trades import StoredTrades
from sinks.trades.begins import FirstTrade, TradeBegins
from sinks.trades.codec import encode_key
from sinks.trades.durable import DurableState, IdSpan, read_durable
from sinks.trades.store import TradeStore
from sinks.trades.writer import TradeWriter
from tests.fakes.bad_records import put
from tests.fakes.trades import BEGIN, trade


async def knows_all(query: TradesQuery) -> list[Trade]:
    """A venue that has every trade, of the time that is asked for."""
    return [trade(number, query.begin - BEGIN) for number in range(query.first_id, query.last_id + 1)]


async def knows_none(_: TradesQuery) -> list[Trade]:
    return []


async def is_away(_: TradesQuery) -> list[Trade]:
    raise QueryError("no network")


def stored(path: Path, *trades: Trade) -> Path:
    writer = TradeWriter(path / "part-00", venue="binance", retention_days=0)
    writer.write([TradeBatch("binance", "BTCUSDT", list(trades))])
    writer.close()
    return path


async def test_the_newest_stored_trade_says_where_to_go_on(tmp_path: Path) -> None:
    found = StoredTrades(stored(tmp_path, trade(7, 10), trade(8, 20)), knows_all)
    assert await found.last_trade(LastTradeQuery("BTCUSDT", 100, BEGIN)) == (8, BEGIN + 20)
    assert TradeBegins(tmp_path).read("BTCUSDT") is None


async def test_the_first_trade_is_durable_before_the_answer_and_found_by_the_next_life(tmp_path: Path) -> None:
    assert await StoredTrades(tmp_path, knows_all).last_trade(LastTradeQuery("BTCUSDT", 100, BEGIN + 5)) is None
    assert TradeBegins(tmp_path).read("BTCUSDT") == FirstTrade(100, BEGIN + 5)
    again = await StoredTrades(tmp_path, knows_all).last_trade(LastTradeQuery("BTCUSDT", 178, BEGIN + 900))
    assert again == (99, BEGIN + 5)
    assert await StoredTrades(tmp_path, is_away).last_trade(LastTradeQuery("BTCUSDT", 178, BEGIN)) == (99, BEGIN + 5)


async def test_a_first_trade_that_the_venue_denies_is_not_believed(tmp_path: Path) -> None:
    TradeBegins(tmp_path).write("BTCUSDT", FirstTrade(3, BEGIN))
    found = StoredTrades(tmp_path, knows_none)
    assert await found.last_trade(LastTradeQuery("BTCUSDT", 178, BEGIN)) is None
    assert TradeBegins(tmp_path).read("BTCUSDT") == FirstTrade(178, BEGIN)


async def test_ids_that_begin_anew_make_a_new_first_trade(tmp_path: Path) -> None:
    TradeBegins(tmp_path).write("BTCUSDT", FirstTrade(500, BEGIN))
    assert await StoredTrades(tmp_path, knows_all).last_trade(LastTradeQuery("BTCUSDT", 1, BEGIN)) is None
    assert TradeBegins(tmp_path).read("BTCUSDT") == FirstTrade(1, BEGIN)


@pytest.mark.parametrize(("last_id", "lacking"), [(8, None), (5, None), (12, (8, BEGIN + 20))])
async def test_what_the_store_lacks(tmp_path: Path, last_id: int, lacking: tuple[int, int] | None) -> None:
    found = StoredTrades(stored(tmp_path, trade(7, 10), trade(8, 20)), knows_all)
    assert await found.missing(StoreCheckQuery("BTCUSDT", last_id)) == lacking


@pytest.mark.parametrize(
    ("last_id", "lacking"), [(8, (4, BEGIN + 10)), (12, (4, BEGIN + 10)), (5, (4, BEGIN + 10)), (4, None)]
)
async def test_what_the_store_has_lost_in_the_middle(
    tmp_path: Path, last_id: int, lacking: tuple[int, int] | None
) -> None:
    part = stored(tmp_path, trade(7, 10), trade(8, 20)) / "part-00"
    state = DurableState(part, read_durable(part))
    state.on_lost({}, {"BTCUSDT": [IdSpan(5, 6, BEGIN + 10, BEGIN + 10)], "ETHUSDT": [IdSpan(1, 1, BEGIN, BEGIN)]})
    state.on_sync(1)
    assert await StoredTrades(tmp_path, knows_all).missing(StoreCheckQuery("BTCUSDT", last_id)) == lacking


async def test_an_aggregate_stands_for_the_fills_that_it_covers(tmp_path: Path) -> None:
    covering = AggregateTrade("BTCUSDT", 8, BEGIN, 1.0, 1.0, False, BEGIN, first_id=8, last_id=12)
    found = StoredTrades(stored(tmp_path, covering), knows_all)
    assert await found.missing(StoreCheckQuery("BTCUSDT", 12, counts_fills=True)) is None
    assert await found.missing(StoreCheckQuery("BTCUSDT", 12)) == (8, BEGIN)


async def test_a_store_that_is_gone_lacks_all_since_the_first_trade(tmp_path: Path) -> None:
    found = StoredTrades(tmp_path / "gone", knows_all)
    assert await found.missing(StoreCheckQuery("BTCUSDT", 8)) == (-1, 0)
    TradeBegins(tmp_path / "gone").write("BTCUSDT", FirstTrade(3, BEGIN))
    assert await found.missing(StoreCheckQuery("BTCUSDT", 8)) == (2, BEGIN)


async def test_without_a_store_nothing_is_lacking_or_noted() -> None:
    found = StoredTrades(None, knows_all)
    assert await found.missing(StoreCheckQuery("BTCUSDT", 8)) is None
    assert await found.last_trade(LastTradeQuery("BTCUSDT", 8, BEGIN)) is None


async def test_many_instruments_ask_at_once(tmp_path: Path) -> None:
    found = StoredTrades(stored(tmp_path, trade(7, 10)), knows_all)
    queries = [LastTradeQuery(symbol, 9, BEGIN) for symbol in ("BTCUSDT", "ETHUSDT") * 20]
    answers = await asyncio.gather(*map(found.last_trade, queries))
    assert answers[::2] == [(7, BEGIN + 10)] * 20


@pytest.mark.slow
async def test_a_damaged_store_is_an_error(tmp_path: Path) -> None:
    path = stored(tmp_path, trade(7, 10))
    for table in (path / "part-00").glob("*.sst"):
        table.unlink()
    with pytest.raises(QueryError):
        await StoredTrades(path, knows_all).last_trade(LastTradeQuery("BTCUSDT", 9, BEGIN))


@pytest.mark.parametrize("spoilt", [[5], [5, 4], [3, 4, 5]])
async def test_what_cannot_be_read_counts_as_missed(tmp_path: Path, spoilt: list[int]) -> None:
    path = stored(tmp_path, *(trade(number, number * 70_000) for number in range(1, 6)))
    with TradeStore(path / "part-00") as store:
        for number in spoilt:
            put(store, encode_key("BTCUSDT", BEGIN + number * 70_000), b"anything")
    newest = min(spoilt) - 1
    found = StoredTrades(path, knows_all)
    assert await found.last_trade(LastTradeQuery("BTCUSDT", 100, BEGIN)) == (newest, BEGIN + newest * 70_000)
    for counts_fills in (False, True):
        lacking = await found.missing(StoreCheckQuery("BTCUSDT", 5, counts_fills))
        assert lacking == (newest, BEGIN + newest * 70_000)
