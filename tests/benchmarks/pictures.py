"""The pictures in the docs, measured anew: `python -m tests.benchmarks.pictures`. It needs py-spy.

`docs/flow.svg` is a flame graph of the flow on frames read directly, `docs/latency.svg` the latency against the rate.
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from sinks.mongod import running_mongod
from tests.benchmarks.bench_deployment import GOALS_MS, LATENCY_S
from tests.benchmarks.bench_flow import POLL, run_flow
from tests.benchmarks.flame import flame_graph, tree_of
from tests.benchmarks.latency import Latency, measured
from tests.benchmarks.market import agg_trade_frames
from tests.benchmarks.plot import latency_plot
from tests.fakes.deployment import ROOT

DOCS = ROOT / "docs"
SYMBOLS, TRADES = 50, 300_000
RUNS = 20
SAMPLES_PER_S = 250
RATES = (100, 300, 1_000, 3_000, 10_000)


def draw_flame_graph(path: Path) -> None:
    """Of many runs; what the process does before them is left out."""
    with tempfile.TemporaryDirectory() as folder:
        frames, stacks = Path(folder) / "frames", Path(folder) / "stacks"
        frames.write_bytes(b"\n".join(agg_trade_frames(count=TRADES, symbols=SYMBOLS, trades_per_s=5_000)))
        spy = Path(sys.executable).with_name("py-spy")
        record = f"{spy} record --format raw --function --rate {SAMPLES_PER_S} --output {stacks} --".split()
        target = f"{sys.executable} -m tests.benchmarks.bench_flow {frames} {RUNS}".split()
        subprocess.run([*record, *target], cwd=ROOT, check=True)
        title = f"the flow: frames of {SYMBOLS} symbols' trades, read directly, {POLL} a poll"
        path.write_text(flame_graph(tree_of(stacks.read_text().splitlines(), root=run_flow.__name__), title=title))


def draw_latency(path: Path) -> None:
    """Of a whole deployment at each rate."""
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:
        path.write_text(latency_plot({rate: _latency(uri, parent, rate) for rate in RATES}, GOALS_MS))


def _latency(uri: str, parent: str, rate: int) -> Latency:
    folder = Path(tempfile.mkdtemp(prefix="run", dir=parent))
    return asyncio.run(measured(uri, folder, trades_per_s=rate, seconds=LATENCY_S))


if __name__ == "__main__":
    draw_flame_graph(DOCS / "flow.svg")
    draw_latency(DOCS / "latency.svg")
