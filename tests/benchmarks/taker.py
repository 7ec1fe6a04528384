"""One process that takes a market, for a figure of CPU seconds that nothing else has a part in.

    python -m tests.benchmarks.taker flow|loop|trades|sbe websockets|picows HOST:PORT COUNT
    python -m tests.benchmarks.taker share I/N COUNT POLL

prints the CPU seconds of the process from its first frame to its last result.
"""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from typing import Any, Literal

import structlog
from bytewax.testing import run_main

from flows.graph import Sinks, market_flow
from flows.model import ParsedFrames, RawFrames
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.binance.parse import BinanceParser
from sources.binance.venue import BINANCE
from sources.bridge import FeedSource
from sources.connection.transport import transport_of
from tests.benchmarks.bench_flow import Nowhere
from tests.benchmarks.market import PolledFrames, agg_trade_frames, symbols_of
from tests.benchmarks.plain import plain_candles

SYMBOLS = 50
TRADES_PER_S = 5_000

Library = Literal["websockets", "picows"]


class _MeteredParser:
    """The venue's parser; knows when the first frames have come, and sets `taken` when the last have."""

    def __init__(self, count: int, taken: threading.Event) -> None:
        self._parser = BinanceParser("binance")
        self._left = count
        self._taken = taken
        self.begin_s = 0.0

    def parse(self, frames: RawFrames) -> ParsedFrames:
        self.begin_s = self.begin_s or time.process_time()
        self._left -= len(frames.payloads)
        if self._left <= 0:
            self._taken.set()
        return self._parser.parse(frames)


def through_flow(source: Any, feed: Feed, *, count: int, taken: threading.Event) -> float:
    """CPU seconds of the flow with candles as its only output."""
    parser = _MeteredParser(count, taken)
    run_main(market_flow(source=source, parser=parser, feed=feed, sinks=Sinks(candles=Nowhere())))
    return time.process_time() - parser.begin_s


def flow_on_socket(library: Library, address: str, count: int, **changes: Any) -> float:
    """The flow with its own connections, and `count` frames."""
    taken = threading.Event()
    feed = _feed(library, address, **changes)
    source = FeedSource(BINANCE.feed(feed), settings=feed, stop=taken)
    return through_flow(source, feed, count=count, taken=taken)


async def loop_on_socket(library: Library, address: str, count: int) -> float:
    """A plain asyncio program with the same client: each frame is decoded and put into six candles as it comes."""
    feed = BinanceFeed(_feed(library, address))
    [plan] = feed.plans(dict.fromkeys(symbols_of(SYMBOLS), ()))
    take, ended = plain_candles(), asyncio.Event()
    left, begin_s = count, 0.0

    def receive(frame: bytes) -> None:
        nonlocal left, begin_s
        if not frame.startswith(b'{"stream"'):
            begin_s = time.process_time()  # the answer to the request; the first frame is next
            return
        take(frame)
        left -= 1
        if not left:
            ended.set()

    socket = await transport_of(library)(plan.url, receive, timeout_s=10)
    [(_, request)] = feed.subscribe_requests(plan.streams)
    await socket.send(request)
    await ended.wait()
    seconds = time.process_time() - begin_s
    await socket.close()
    return seconds


def flow_of_share(share: str, count: int, poll: int) -> float:
    """The flow of one process of several that share nothing: the frames that the venue would send it, read directly,
    so many with each poll.
    """
    symbols = symbols_of(SYMBOLS)
    feed = Feed(symbols=symbols, shard=share, streams=("aggTrade",))
    own = {symbol.encode() for symbol in feed.own_symbols}
    frames = agg_trade_frames(count=count, symbols=SYMBOLS, trades_per_s=TRADES_PER_S)
    frames = [frame for frame in frames if frame.partition(b'"s":"')[2].partition(b'"')[0] in own]
    return through_flow(PolledFrames(frames, size=poll), feed, count=len(frames), taken=threading.Event())


def _feed(library: Library, address: str, **changes: Any) -> Feed:
    usual = {
        "symbols": symbols_of(SYMBOLS),
        "streams": ("aggTrade",),  # without klines there is nothing to wait for at the start
        "transport": library,
        "origin": "replay",
        "ws_url": f"ws://{address}",
    }
    return Feed.model_validate(usual | changes)


def started(*arguments: str) -> "subprocess.Popen[str]":
    """Such a process; `seconds_of` waits for its figure."""
    command = [sys.executable, "-m", "tests.benchmarks.taker", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def seconds_of(process: "subprocess.Popen[str]") -> float:
    """What it has printed at its end."""
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a taker ended with {process.returncode}: run it by hand: {process.args!r}")
    return float(said)


def main(kind: str, *arguments: str) -> float:
    """One run."""
    match kind, *arguments:
        case "flow", ("websockets" | "picows") as library, address, count:
            return flow_on_socket(library, address, int(count))
        case "trades", ("websockets" | "picows") as library, address, count:
            return flow_on_socket(library, address, int(count), streams=("trade",))
        case "sbe", ("websockets" | "picows") as library, address, count:
            binary = {"encoding": "sbe", "api_key": "any", "sbe_ws_url": f"ws://{address}"}
            return flow_on_socket(library, address, int(count), streams=("trade",), **binary)
        case "loop", ("websockets" | "picows") as library, address, count:
            return asyncio.run(loop_on_socket(library, address, int(count)))
        case "share", share, count, poll:
            return flow_of_share(share, int(count), int(poll))
    raise ValueError(__doc__)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(main(*sys.argv[1:]))  # noqa: T201 - for whoever has started it
