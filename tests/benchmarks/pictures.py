"""The pictures in the docs, made anew: `python -m tests.benchmarks.pictures`. It needs py-spy and a browser.

`docs/flow.svg` is a flame graph of the flow on frames read directly, `docs/latency.svg` the latency against the rate,
`docs/dashboard.png` the page on a synthetic market.
"""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from playwright.async_api import expect

from sinks.mongod.server import running_mongod
from tests.benchmarks.around import running_exchange_process
from tests.benchmarks.bench_deployment import GOALS_MS, LATENCY_S
from tests.benchmarks.bench_flow import POLL, run_flow
from tests.benchmarks.flame import flame_graph, tree_of
from tests.benchmarks.latency import Latency, measured
from tests.benchmarks.market import agg_trade_frames
from tests.benchmarks.plot import latency_plot
from tests.fakes.browser import NO_BROWSER, chromium, running_browser
from tests.fakes.deployment import ROOT, flow_settings, free_port, running_flow, running_interface

DOCS = ROOT / "docs"
SYMBOLS, TRADES = 50, 300_000
RUNS = 20
SAMPLES_PER_S = 250
RATES = (100, 300, 1_000, 3_000, 10_000)
SHOWN = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", "AVAXUSDT")
SHOWN_S = 70.0
"""How long the market is followed before the page's picture is taken: a candle closes and is compared meanwhile."""


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


def draw_dashboard(path: Path) -> None:
    """In the dark. `RuntimeError` without a browser."""
    executable = chromium()
    if executable is None:
        raise RuntimeError(NO_BROWSER)
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:
        asyncio.run(_dashboard(path, uri, Path(tempfile.mkdtemp(prefix="run", dir=parent)), executable))


async def _dashboard(path: Path, uri: str, folder: Path, executable: str) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        address = await enter(running_exchange_process("--synthetic", "--symbols", *SHOWN))
        settings = flow_settings(
            folder, f"http://{address}", uri,
            feed__origin="synthetic",
            feed__symbols=list(SHOWN),
            feed__request_pause_ms=0,
            hub__port=free_port(),
        )  # fmt: skip
        await enter(running_flow(folder, **settings))
        interface = await enter(running_interface(folder, **settings))
        browser = await enter(running_browser(executable))
        page = await browser.new_page(viewport={"width": 1360, "height": 850}, color_scheme="dark")
        await page.goto(f"{interface.url}/#{SHOWN[0]}/1m")
        await expect(page.locator("#completeness")).to_have_text("100%", timeout=60_000)
        await asyncio.sleep(SHOWN_S)
        await page.screenshot(path=path)


if __name__ == "__main__":
    draw_dashboard(DOCS / "dashboard.png")
    draw_flame_graph(DOCS / "flow.svg")
    draw_latency(DOCS / "latency.svg")
