"""What a deployment holds and takes at a live rate: memory of flow and interface, and the flow's share of a core.

Both are started as users start them, as processes of their own, so nothing is shared with what measures them.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from msgspec import Struct

from sinks.mongod.server import running_mongod
from tests.benchmarks.around import cores_of, running_exchange_process, running_module
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import Row
from tests.fakes.deployment import environment_of, flow_settings, free_port

SETTLE_S = 30.0
"""The past of a few symbols is fetched, books are in sync, caches have what is usual."""
LONGER_S = 75.0
"""The past of fifty symbols is fetched: before, that is a sixth of what the flow takes."""
MEASURE_S = 15.0
_MB = 1e6


class Held(Struct, frozen=True):
    """What is held, MB resident, and taken, cores."""

    flow_mb: float
    api_mb: float
    flow_cores: float


async def held(uri: str, folder: Path, symbols: list[str], *, settle_s: float) -> Held:
    """A deployment with these symbols and all streams, at the rate of a usual hour, `settle_s` after its start."""
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(running_exchange_process("--synthetic", "--symbols", *symbols))
        hub, api = free_port(), free_port()
        settings = flow_settings(folder, f"http://{address}", uri, feed__symbols=symbols, hub__port=hub, api__port=api)
        environment = environment_of(settings | {"metrics__enabled": False})
        flow = await stack.enter_async_context(
            running_module(folder, environment, "bytewax.run", "flows.main", port=hub)
        )  # fmt: skip
        interface = await stack.enter_async_context(running_module(folder, environment, "api", port=api))
        await asyncio.sleep(settle_s)
        cores = await cores_of(flow, seconds=MEASURE_S)
        flow_mb, api_mb = (psutil.Process(pid).memory_info().rss / _MB for pid in (flow, interface))
        return Held(flow_mb, api_mb, cores)


def run() -> list[Row]:
    """With two, fifty and a hundred symbols."""
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:

        def with_symbols(*symbols: str, settle_s: float = SETTLE_S) -> Held:
            folder = Path(tempfile.mkdtemp(prefix="run", dir=parent))
            return asyncio.run(held(uri, folder, list(symbols), settle_s=settle_s))

        two, hundred = with_symbols("BTCUSDT", "ETHUSDT"), with_symbols(*symbols_of(100))
        fifty = with_symbols(*symbols_of(50), settle_s=LONGER_S)
    return [
        Row("flow, two symbols, all streams", "MB resident", "", two.flow_mb, 110, at_most=True),
        Row("interface beside it", "MB resident", "", two.api_mb, 110, at_most=True),
        Row("flow, a hundred symbols", "MB resident", "", hundred.flow_mb, 250, at_most=True),
        Row("interface beside it", "MB resident", "", hundred.api_mb, 250, at_most=True),
        Row("flow, two symbols at a live rate", "share of a core", "", two.flow_cores, 0.025, at_most=True),
        Row("flow, fifty symbols at a live rate", "share of a core", "", fifty.flow_cores, 0.12, at_most=True),
    ]
