"""From the socket to six candles, saturated: the flow with either WebSocket library, and a plain program with the same.

The venue is a process that only writes to its socket. Every run is a process of its own, and the figure is all the CPU
time that it takes: on few cores, wall time would show who else was busy.
"""

import statistics
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from sources.replay.protocol.frames import Encoding
from sources.replay.protocol.sbe import SbeEncoding
from tests.benchmarks.blast import running_blast, wire_of
from tests.benchmarks.market import FILLS, agg_trade_frames, single_trades
from tests.benchmarks.rows import Row, in_turns, median_ratio
from tests.benchmarks.taker import SYMBOLS, TRADES_PER_S, seconds_of, started

TRADES = 300_000
ROUNDS = 5


def run() -> list[Row]:
    """Flow against flow, each against its plain loop, and binary messages against texts."""
    return [*aggregates(), *binary()]


def binary() -> list[Row]:
    """Single trades in SBE, one message an order, against JSON, one message a trade."""
    orders = list(single_trades(count=TRADES, symbols=SYMBOLS, trades_per_s=TRADES_PER_S))
    wires = {
        "trades": [Encoding(combined=True, microseconds=False).frame(trade) for order in orders for trade in order],
        "sbe": [SbeEncoding(combined=True).joined(order) for order in orders],
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        addresses = {}
        for kind, frames in wires.items():
            path = Path(folder) / kind
            path.write_bytes(b"".join(frames))
            addresses[kind] = running.enter_context(running_blast(path))
        for library in ("picows", "websockets"):
            texts, binaries = in_turns(
                ROUNDS, *(partial(_seconds, kind, library, addresses[kind], len(wires[kind])) for kind in wires)
            )
            what = f"socket ▶ six candles, single trades in SBE, {FILLS} a message, {library}"
            rows.append(Row(what, _each(binaries), f"JSON, {_each(texts)}", median_ratio(texts, binaries), 1.5))
    return rows


def aggregates() -> list[Row]:
    """Flow against flow, and each against its plain loop."""
    with tempfile.TemporaryDirectory() as folder:
        wire = Path(folder) / "wire"
        wire.write_bytes(wire_of(agg_trade_frames(count=TRADES, symbols=SYMBOLS, trades_per_s=TRADES_PER_S)))
        with running_blast(wire) as address:
            contests = [(kind, library) for library in ("websockets", "picows") for kind in ("flow", "loop")]
            slow_flow, slow_loop, fast_flow, fast_loop = in_turns(
                ROUNDS, *(partial(_seconds, kind, library, address) for kind, library in contests)
            )
    what = "socket ▶ six candles, saturated"
    return [
        Row(f"{what}, picows", _each(fast_flow), f"`websockets`, {_each(slow_flow)}",
            median_ratio(slow_flow, fast_flow), 2.5),
        Row("the same", _each(fast_flow), f"plain loop on picows, {_each(fast_loop)}",
            median_ratio(fast_loop, fast_flow), 0.8),
        Row(f"{what}, `websockets`", _each(slow_flow), f"plain loop on `websockets`, {_each(slow_loop)}",
            median_ratio(slow_loop, slow_flow), 0.8),
    ]  # fmt: skip


def _seconds(kind: str, library: str, address: str, frames: int = TRADES) -> float:
    return seconds_of(started(kind, library, address, str(frames)))


def _each(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e6 / TRADES:.2f} µs a trade"
