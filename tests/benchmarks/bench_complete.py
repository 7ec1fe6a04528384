"""What completeness costs: repair, the archive importer, recovery; and what two hundred kills leave behind."""

import asyncio
import random
import sys
import tempfile
import threading
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.testing import TestingSource, run_main

from flows.clock import FeedClock
from flows.graph import Sinks, market_flow
from flows.machine import machine
from flows.queries import TradesQuery
from flows.recovery import prepare
from flows.settings import Feed, Mongo, Rest, Trades, load_settings
from flows.steps import sequence_candles
from sinks.mongod.server import running_mongod
from sources.archive.bridge import ArchiveSource
from sources.archive.csv_reader import ArchiveReader, trades_of
from sources.archive.files import file_named
from sources.archive.manifest import Manifest
from sources.archive.progress import ImportProgress
from sources.archive.spans import spans_of
from sources.binance.parse import BinanceParser
from sources.binance.rest import BinanceRest
from sources.replay.exchange.server import running_exchange
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.benchmarks.bench_flow import Nowhere
from tests.benchmarks.market import PolledFrames, agg_trade_frames
from tests.benchmarks.rows import Row, interleaved
from tests.fakes.lives import lost_after_a_first_life, prepared
from tests.fakes.twins import SYMBOLS, compared, differences

MISSING = 100_000
IMPORTED = 1_000_000
RECOVERED = 600_000
KEYS = 200
KILLS = 200
ROUNDS = 8
KILL_SPEED = 12.0
FIRST_LIVES = 50
FIRST_LIFE_SPEED = 5.0
LONGEST_FIRST_LIFE_S = 3.0
MOST_TOLD = 10
"""Differences of a round that are printed."""
DAY_MS = 86_400_000
BEGIN = 1_767_225_600_000


async def repair_s() -> float:
    """Seconds that the repair of so many trades takes beside the limiter's waiting."""
    market = SyntheticMarket("spot", ("BTCUSDT",), seed=3, start_ms=BEGIN, trades_per_s=5_000)
    async with running_exchange(market, speed="max", start_now=True) as exchange:

        def told(from_id: int | None) -> int:
            rows = market.agg_trades("BTCUSDT", from_id=from_id, start_ms=None, end_ms=None, limit=1)
            return rows[0]["a"] if rows else 0

        while told(None) - told(0) < MISSING:
            await asyncio.sleep(0.05)
        exchange.pause()
        feed = Feed(origin="replay", rest_url=exchange.rest_url)
        async with BinanceRest.of(feed, Rest()) as rest:
            newest = told(None)
            begin = time.perf_counter()
            found = 0
            following = newest - MISSING + 1
            while following <= newest:
                page = await rest.trades(TradesQuery("BTCUSDT", following, min(newest, following + 9_999), 0, 0))
                found += len(page)
                following = page[-1].id + 1
            assert found == MISSING
            return time.perf_counter() - begin


def archive_file(folder: Path) -> Path:
    """A day of made-up trades, as the archive has it."""
    count, chance = IMPORTED, random.Random(5)
    prices = [round(90_000 + chance.gauss(0, 50), 2) for _ in range(count)]
    frame = pl.DataFrame(
        {
            "id": range(1, count + 1),
            "price": prices,
            "quantity": [round(chance.expovariate(40), 5) + 0.00001 for _ in range(count)],
            "first": range(1, count + 1),
            "last": range(1, count + 1),
            "time": [BEGIN + number * (DAY_MS - 1) // count for number in range(count)],
            "maker": [chance.random() < 0.5 for _ in range(count)],
        }
    )
    path = folder / "BTCUSDT-aggTrades-2026-01-01.csv"
    frame.write_csv(path, include_header=False)
    return path


def import_into_candles(path: Path) -> None:
    """The file through the machines, without stores."""
    file = file_named(path.name)
    assert file is not None
    feed = Feed(streams=("aggTrade",), reorder_ms=0, forming_ms=10**9, close_grace_ms=10**9)
    flow = Dataflow("import")
    batches: list[Any] = [("binance:BTCUSDT", trades) for trades in trades_of(file, path, file.begin, file.end)]
    read = op.input("in", flow, TestingSource(batches))
    built = machine(
        "built", read, lambda key, state: sequence_candles(key, state, feed=feed, can_query=False), FeedClock()
    )
    op.output("out", built, Nowhere())
    run_main(flow)


def import_whole(path: Path, folder: Path, uri: str) -> None:
    """The importer as it is, with both stores, over a file whose checksum is right: one without is read twice."""
    from flows import backfill  # noqa: PLC0415 - it reads no settings before it is asked for its flow

    settings = load_settings(
        feed=Feed(symbols=("BTCUSDT",), streams=("aggTrade",)),
        mongo=Mongo(uri=uri, database=folder.name),
        trades=Trades(path=folder / "trades"),
    )
    file = file_named(path.name)
    assert file is not None
    progress, stop = ImportProgress(), threading.Event()
    manifest = Manifest(folder / "imported.json", stores=folder.name)
    spans = spans_of([file], file.begin, file.end)
    source = ArchiveSource(
        "binance",
        spans,
        lambda _: ArchiveReader(file, path, vouched="all"),
        manifest=manifest,
        watcher=progress,
        stop=stop,
    )
    importer = backfill.build_importer(settings, manifest, progress, stop)
    run_main(backfill.build_flow(settings, source, importer))
    importer.close()
    progress.end()


def with_recovery(frames: list[bytes], directory: Path | None) -> None:
    """The flow, with its state kept or not."""
    flow = market_flow(
        source=PolledFrames(frames, size=1_000),
        parser=BinanceParser("binance"),
        feed=Feed(streams=("aggTrade",)),
        sinks=Sinks(candles=Nowhere()),
    )
    if directory is None:
        run_main(flow)
    else:
        prepare(directory)
        run_main(flow, epoch_interval=timedelta(seconds=5), recovery_config=RecoveryConfig(str(directory)))


def resume_s(folder: Path) -> float:
    """Seconds until a flow of so many symbols is ready again from its recovered state."""
    directory = folder / "resumed"
    with_recovery(agg_trade_frames(count=50_000, symbols=KEYS, trades_per_s=20_000), directory)
    begin = time.perf_counter()
    with_recovery(agg_trade_frames(count=KEYS, symbols=KEYS, trades_per_s=20_000), directory)
    return time.perf_counter() - begin


def killed(uri: str, folder: Path, *, kills: int = KILLS, rounds: int = ROUNDS) -> int:
    """Candles and trades that differ from those of an undisturbed run after so many kills. Each round has a market of
    its own, five minutes before midnight, and is compared whole.
    """
    differing = 0
    for number in range(rounds):
        market = SyntheticMarket("spot", SYMBOLS, seed=number, start_ms=BEGIN + DAY_MS - 300_000)
        begin = time.monotonic()
        calm, disturbed = asyncio.run(
            compared(
                folder / f"round{number}", uri, market, speed=KILL_SPEED, kills=kills // rounds, seed=number,
                on_kill=partial(_count, done=number * kills // rounds, kills=kills),
            )
        )  # fmt: skip
        found = differences(calm, disturbed)
        trades = sum(frame.height for frame in calm[1].values())
        spent = f"{len(calm[0])} candles, {trades} trades, {time.monotonic() - begin:.0f} s"
        _say(f"\r  round {number + 1} of {rounds}: {len(found)} differences in {spent}\n")
        _say("".join(f"    {difference}\n" for difference in found[:MOST_TOLD]))
        differing += len(found)
    return differing


def lost_in_first_lives(folder: Path, *, lives: int = FIRST_LIVES) -> int:
    """Trades that were told and are not stored, after so many first lives that were killed within seconds."""
    chance, lost = random.Random(1), 0
    market = SyntheticMarket("spot", SYMBOLS, seed=1, start_ms=BEGIN)
    with exchange_in_thread(market, speed=FIRST_LIFE_SPEED) as exchange:
        for number in range(lives):
            path = prepared(folder / f"life{number}")
            found = asyncio.run(lost_after_a_first_life(path, exchange, chance.uniform(0.0, LONGEST_FIRST_LIFE_S)))
            _say("".join(f"    {hole}\n" for hole in found[:MOST_TOLD]))
            _say(f"\r  first life {number + 1} of {lives}")
            lost += len(found)
    return lost


def _count(kill: int, *, done: int, kills: int) -> None:
    _say(f"\r  kill {done + kill} of {kills}")


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)  # noqa: T201 - progress of minutes of work


def run() -> list[Row]:
    """All of it; the kills take about a quarter of an hour."""
    with tempfile.TemporaryDirectory() as name, running_mongod(Path(name) / "mongod") as uri:
        folder = Path(name)
        path = archive_file(folder)
        [candles_s] = interleaved(3, lambda: import_into_candles(path))
        began_s = time.process_time()
        import_whole(path, folder, uri)
        stores_s = time.process_time() - began_s
        frames = agg_trade_frames(count=RECOVERED, symbols=50, trades_per_s=20_000)
        numbers = iter(range(1_000))
        kept, bare = interleaved(
            5, lambda: with_recovery(frames, folder / f"state{next(numbers)}"), lambda: with_recovery(frames, None)
        )
        return [
            Row("repair of 100,000 trades", "s beside the limiter's waiting", "", asyncio.run(repair_s()), 30, True),
            Row("importer into candles", "trades a CPU second", "", IMPORTED / candles_s, 400_000),
            Row("importer with both stores", "trades a CPU second", "", IMPORTED / stores_s, 150_000),
            Row("recovery on", "throughput", "recovery off", bare / kept, 0.9),
            Row(f"resume of {KEYS} symbols", "s", "", resume_s(folder), 5, True),
            Row(f"{KILLS} random kills", "candles and trades that differ", "", killed(uri, folder), 0, True),
            Row(
                f"{FIRST_LIVES} first lives of up to {LONGEST_FIRST_LIFE_S:g} s, killed",
                "trades that were told and are not stored",
                "",
                lost_in_first_lives(folder),
                0,
                True,
            ),
        ]
