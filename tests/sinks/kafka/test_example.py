"""The consumer of docs/examples as a process: it prints each trade and version of a candle once."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from typing import Any

from flows.clock import FeedClock
from flows.model import TradeBatch, VenueItems
from sinks.kafka.writer import KafkaWriter
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.kafka import running_broker
from tests.fakes.trades import trade
from tests.marked import ROOT

PATIENCE_S = 120


def batch(first: int, last: int, **options: Any) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", [trade(number, number) for number in range(first, last + 1)], **options)


async def test_the_example_prints_each_trade_and_version_of_a_candle_once() -> None:
    with running_broker() as broker:
        settings = broker.settings(prefix="example")
        lives: list[list[Any]] = [
            [batch(1, 3), candle(0), forming(1)],
            [batch(2, 5), candle(0)],
            [batch(6, 6), candle(1)],
        ]
        for items in lives:
            writer = KafkaWriter(
                settings, kinds=("trades", "candles"), flow="flow", clocks={"binance": FeedClock()}
            )  # each is a process that was killed, and begins with what the one before has published
            await asyncio.to_thread(writer.write, VenueItems("binance", items))
            await asyncio.to_thread(writer.close)
        path = ROOT / "docs" / "examples" / "kafka_results.py"
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(path), broker.address, "example", stdout=PIPE
        )
        try:
            assert process.stdout
            async with asyncio.timeout(PATIENCE_S):
                lines = [(await process.stdout.readline()).decode().split() for _ in range(8)]
        finally:
            process.kill()
            await process.wait()
    trades = [words for words in lines if len(words) == 5]
    candles = [words for words in lines if len(words) == 7]
    assert trades == [["binance", "BTCUSDT", str(number), "100.0", "1.0"] for number in range(1, 7)]
    assert candles == [
        ["binance", "BTCUSDT", "1m", str(BEGIN + 60_000 * n), str(candle(n).close), candle(n).status, "0"]
        for n in (0, 1)
    ]
