"""The importer against an exchange's REST side, into real stores."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from sinks.trades.reader import TradeReader
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.importer import database_of, documents, imported
from tests.fakes.served_venues import ServedVenue, served
from tests.fakes.tapes import spot_recording
from tests.fakes.twins import SYMBOLS, trades_of
from tests.fakes.witness import Witness, disagreements, stored_candles

pytestmark = pytest.mark.e2e

MINUTE_MS = 60_000


@contextmanager
def played() -> Iterator[tuple[Witness, dict[str, Any]]]:
    """An exchange with eleven minutes of trades, and months of klines before them; and the settings that import it."""
    market = spot_recording()
    with (
        exchange_in_thread(market, start_now=True) as exchange,
        contextlib.closing(Witness(exchange.rest_url)) as witness,
    ):
        exchange.wait_finished(60)
        yield (
            witness,
            {
                "feed__origin": "replay",
                "feed__symbols": '["BTCUSDT", "ETHUSDT"]',
                "feed__timeframes": '["1m", "5m", "1h"]',
                "feed__rest_url": exchange.rest_url,
                "backfill__start": "2024-08-08T22:00",
            },
        )


async def test_what_the_exchange_tells_equals_its_candles_and_again_changes_nothing(
    mongod_uri: str, tmp_path: Path
) -> None:
    with played() as (witness, settings):
        code, said = await imported(tmp_path, "rest", mongod_uri, **settings)
        assert code == 0, said
        begin = 1_723_154_400_000
        until = witness.server_time() // MINUTE_MS * MINUTE_MS
        for symbol in SYMBOLS:
            for timeframe in ("1m", "5m", "1h"):
                candles = stored_candles(mongod_uri, database_of(tmp_path), symbol, timeframe)
                klines = [k for k in witness.klines(symbol, timeframe, begin) if k.event_time < until - MINUTE_MS]
                assert disagreements(candles, klines) == []
                assert [c.open_time for c in candles][: len(klines)] == [k.open_time for k in klines]
            rows = trades_of(tmp_path)[symbol].select("id", "time", "price", "quantity", "buyer_is_maker").rows()
            told = witness.aggregates(symbol, 0)
            assert rows == told[: len(rows)]
            assert all(row[1] >= until - MINUTE_MS for row in told[len(rows) :])
        unproven = [d for d in documents(mongod_uri, tmp_path) if d["status"] != "venue" and d["proof"] != "equal"]
        assert unproven == []
        before = documents(mongod_uri, tmp_path), trades_of(tmp_path)
        for _ in range(2):
            code, said = await imported(tmp_path, "rest", mongod_uri, **settings)
            assert code == 0, said
            assert documents(mongod_uri, tmp_path) == before[0]
            for symbol in SYMBOLS:
                assert_frame_equal(trades_of(tmp_path)[symbol], before[1][symbol])
            (tmp_path / "archive" / "imported.json").unlink()


def newest_of(venue: ServedVenue) -> int:
    """Time of the newest trade: the market may be behind its clock."""
    trades = venue.trades(0)
    return trades[-1][1] if trades else 0


@pytest.mark.parametrize("venue", ["kraken", "coinbase"])
async def test_trades_that_are_no_aggregates_are_imported_by_their_venues_rest(
    mongod_uri: str, tmp_path: Path, venue: str
) -> None:
    symbol, begin = "BTC-USD", 1_767_225_600_000
    with served(venue, symbol, seed=4, begin_ms=begin + 30_000, speed=120.0, trades_per_s=8.0) as (
        exchange,
        its,
    ):
        # a trade of the next period closes the last kline; the importer leaves out what is not old enough to be settled
        while min(newest_of(its), its.now()) < begin + 6 * MINUTE_MS:
            exchange.resume()
            await asyncio.sleep(0.2)
            exchange.pause()  # it stands while it is read: a market that runs may be faster than its reader
        settings = {
            f"venues__{venue}__origin": "replay",
            f"venues__{venue}__ws_url": exchange.ws_url,
            f"venues__{venue}__rest_url": exchange.rest_url,
            f"venues__{venue}__symbols": symbol,
            "venues__binance__symbols": "BTCUSDT",
            "backfill__start": "2026-01-01T00:00",
            "backfill__end": "2026-01-01T00:05",
            "feed__timeframes": "1m",
        }
        code, said = await imported(tmp_path, "rest", mongod_uri, **settings)
        assert (code, "several venues are followed: name one" in said) == (1, True), said
        code, said = await imported(tmp_path, "archive", mongod_uri, backfill__venue=venue, **settings)
        assert (code, f"the archive has no files of {venue}: write rest" in said) == (1, True), said
        code, said = await imported(tmp_path, "rest", mongod_uri, backfill__venue=venue, **settings)
        assert code == 0, said
        trades, minutes = its.trades(0), its.minutes()
    with TradeReader(tmp_path / "trades" / venue) as reader:
        stored = reader.trades(symbol, 0, 2 << 42)
    columns = ("id", "time", "price", "quantity", "buyer_is_maker")
    rows = list(zip(*(stored[name].to_list() for name in columns), strict=True))
    expected = [row for row in trades if row[1] < begin + 5 * MINUTE_MS]
    assert rows == expected
    assert len(rows) > 1_000
    candles = [one for one in documents(mongod_uri, tmp_path) if one["open_time"] > begin]
    assert [(c["venue"], c["open_time"] - begin, c["status"], c["proof"]) for c in candles] == [
        (venue, number * MINUTE_MS, "final", "equal") for number in range(1, 5)
    ]
    for candle in candles:
        ours = tuple(candle[name] for name in ("open", "high", "low", "close", "volume"))
        assert ours == pytest.approx(minutes[candle["open_time"]])


async def test_killed_in_the_middle_and_run_again_it_is_the_same(mongod_uri: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    with played() as (_, settings):
        code, said = await imported(whole, "rest", mongod_uri, **settings)
        assert code == 0, said
        for kill_at in ("BTCUSDT-aggTrades-2024-08-08", "ETHUSDT-aggTrades-2024-08-09"):
            code, said = await imported(broken, "rest", mongod_uri, kill_at=kill_at, **settings)
            assert code == -signal.SIGKILL, said
        code, said = await imported(broken, "rest", mongod_uri, **settings)
        assert code == 0, said
    assert documents(mongod_uri, broken) == documents(mongod_uri, whole)
    for symbol in SYMBOLS:
        assert_frame_equal(trades_of(broken)[symbol], trades_of(whole)[symbol])


async def test_a_time_that_is_none_and_an_exchange_that_is_away_are_named(mongod_uri: str, tmp_path: Path) -> None:
    code, said = await imported(tmp_path, "rest", mongod_uri, backfill__start="yesterday")
    assert code == 1
    assert "backfill.start: 'yesterday' is no time: write a day or an ISO time" in said
    away = {"feed__origin": "replay", "feed__rest_url": "http://127.0.0.1:9", "rest__tries": "1"}
    code, said = await imported(tmp_path, "rest", mongod_uri, backfill__start="2024-08-08", **away)
    assert (code, "Traceback" in said, "http://127.0.0.1:9" in said) == (1, False, True)
