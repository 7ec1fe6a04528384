import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from structlog.testing import capture_logs

from api.heartbeat import beat
from tests.fakes.deployment import free_port
from tests.fakes.interface import Deployment, fill, interface, price, state, until

EVERY_S = 0.05


class Service:
    """Counts the requests that it gets, and answers with its `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.came: list[tuple[str, str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.came.append((request.method, request.path_qs))
        return web.Response(status=self.status)

    async def next(self) -> None:
        before = len(self.came)
        await until(lambda: len(self.came) > before)


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    found = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ping/my-secret?status=up"
    try:
        yield found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def beating(url: str, missing: list[str]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(beat(url, every_s=EVERY_S, missing=lambda: missing))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_it_goes_out_while_nothing_is_missing_and_only_then() -> None:
    missing = ["hub (not connected)"]
    with capture_logs() as logs:
        async with service() as it, beating(it.url, missing):
            await asyncio.sleep(4 * EVERY_S)
            assert it.came == []
            missing.clear()
            await it.next()
            await it.next()
            assert set(it.came) == {("GET", "/ping/my-secret?status=up")}
            missing.append("MongoDB (timeout)")
            await until(lambda: any(entry["event"] == "heartbeat_paused" for entry in logs))
            paused = len(it.came)
            await asyncio.sleep(4 * EVERY_S)
            assert len(it.came) == paused
            missing.clear()
            await it.next()
    events = [(entry["event"], entry["log_level"]) for entry in logs]
    assert events == [("heartbeat_goes_out", "info"), ("heartbeat_paused", "warning"), ("heartbeat_goes_out", "info")]
    assert not any("secret" in str(entry) for entry in logs)


async def test_an_address_that_fails_costs_one_warning_and_goes_on() -> None:
    with capture_logs() as logs:
        async with service() as it:
            it.status = 500
            async with beating(it.url, []) as task:
                await it.next()
                await it.next()
                it.status = 200
                await until(lambda: any(entry["event"] == "heartbeat_delivered_again" for entry in logs))
                assert not task.done()
    failed = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [(entry["event"], entry["reason"]) for entry in failed] == [("heartbeat_failed", "it answered 500")]


async def test_an_address_that_nobody_listens_at_harms_nothing() -> None:
    with capture_logs() as logs:
        async with beating(f"http://127.0.0.1:{free_port()}/", []) as task:
            await asyncio.sleep(4 * EVERY_S)
            assert not task.done()
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["heartbeat_failed"]


async def test_the_interface_beats_while_it_is_ready(deployment: Deployment) -> None:
    fill(deployment)
    async with service() as it:
        settings = {"url": it.url, "every_s": 1}
        async with interface(deployment, heartbeat=settings) as served, deployment.beating():
            clock = served.services.live.connections[0].venue_state.clock
            await until(lambda: clock.is_alive)  # states without a heartbeat are of a flow that gives no sign of life
            deployment.tell(price(100.0), state("live"), state("silent", symbol="ETHUSDT"))
            await until(lambda: len(list(served.services.live.connections[0].venue_state.states)) == 2)
            await it.next()
            assert (await served.get("/health/ready"))[0] == 200
            deployment.tell(state("silent"))
            await until(lambda: bool(served.services.readiness.missing()))
            assert (await served.get("/health/ready"))[0] == 503
            came = len(it.came)
            await asyncio.sleep(1.5)
            assert len(it.came) <= came + 1  # one may have been under way
