"""Frames ▶ parse ▶ validate ▶ sequence ▶ six candles in the engine: one worker, 50 symbols, no sockets, no stores."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from flows.graph import Sinks, market_flow
from flows.settings import Feed
from sources.binance.envelope import MarketEnvelope
from sources.binance.parse import BinanceParser
from sources.binance.rules import RULES
from tests.benchmarks.market import PolledFrames, agg_trade_frames
from tests.benchmarks.plain import plain_candles
from tests.benchmarks.rows import Row, interleaved

FRAMES = 300_000
POLL = 500
ROUNDS = 5


class _Nowhere(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        """Lets go of them."""


class Nowhere(DynamicSink[Any]):
    """A sink that costs nothing."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Nowhere:
        return _Nowhere()


def run_flow(frames: list[bytes], *, poll: int) -> None:
    """The flow as it is, but for its ends."""
    run_main(
        market_flow(
            source=PolledFrames(frames, size=poll),
            parser=BinanceParser("binance"),
            feed=Feed(streams=("aggTrade",)),  # without klines there is nothing to wait for at the start
            sinks=Sinks(candles=Nowhere()),
            rules=RULES["binance"],
        )
    )


def decode_only(frames: list[bytes]) -> None:
    """The bare typed decoding of the same frames, one by one."""
    decode = msgspec.json.Decoder(MarketEnvelope, strict=False).decode
    for frame in frames:
        decode(frame)


def plain_loop(frames: list[bytes]) -> None:
    """What one would write first: decode a frame, update six candles, next frame."""
    take = plain_candles()
    for frame in frames:
        take(frame)


def run() -> list[Row]:
    """The flow against bare decoding and a plain loop, with large polls and with small ones."""
    frames = agg_trade_frames(count=FRAMES, symbols=50, trades_per_s=5_000)
    polls = {poll: partial(run_flow, frames, poll=poll) for poll in (20, POLL)}
    bare, loop, small, usual = interleaved(
        ROUNDS, partial(decode_only, frames), partial(plain_loop, frames), polls[20], polls[POLL]
    )
    per_frame = 1e6 / FRAMES
    figure = f"{usual * per_frame:.2f} µs a trade"
    return [
        Row(f"flow, {POLL} frames a poll", figure, f"bare decoding, {bare * per_frame:.2f} µs", bare / usual, 0.33),
        Row("the same", figure, f"plain loop, {loop * per_frame:.2f} µs", loop / usual, 1.4),
        Row("flow, 20 frames a poll", f"{small * per_frame:.2f} µs a trade",
            f"bare decoding, {bare * per_frame:.2f} µs", bare / small, 0.22),
    ]  # fmt: skip


if __name__ == "__main__":
    payloads, times = Path(sys.argv[1]).read_bytes().split(b"\n"), int(sys.argv[2])
    for _ in range(times):
        run_flow(payloads, poll=POLL)
