import asyncio
import signal
from collections.abc import Callable, Iterator

import pytest

from flows.process.stop_signals import on_stop_signals


class LoopOfWindows(asyncio.SelectorEventLoop):
    def add_signal_handler(self, *_: object) -> None:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("loop_factory", [asyncio.SelectorEventLoop, LoopOfWindows])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops(loop_factory: Callable[[], asyncio.AbstractEventLoop], number: signal.Signals) -> None:
    async def serve() -> None:
        stop = asyncio.Event()
        on_stop_signals(stop.set)
        signal.raise_signal(number)
        async with asyncio.timeout(60):
            await stop.wait()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve())
