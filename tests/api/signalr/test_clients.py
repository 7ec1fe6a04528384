"""Clients of others against the whole interface: the official one, as `make conformance` installs it, in Node and in
Chromium, over every transport in every encoding; and those of Python.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from api.routes.protocols.signalr import PATH
from tests.fakes.browser import NO_BROWSER, headless_chromium, running_browser
from tests.fakes.documented import FENCED
from tests.fakes.interface import PATIENCE_S, Deployment, fill, interface, price
from tests.fakes.node import NODE, PACKAGES, needs_signalr
from tests.marked import DOCS

ROOT = Path(__file__).parents[3]
WALK = Path(__file__).with_name("client.js")
WAYS = ("json", "messagepack", "without negotiation", "events", "polling", "polling messagepack")
PYTHON = ROOT / ".venv-clients" / "signalr" / "bin" / "python"
BUNDLES = [
    PACKAGES / "@microsoft" / name / "dist" / "browser" / f"{name}.js"
    for name in ("signalr", "signalr-protocol-msgpack")
]

Said = Callable[[], Awaitable[dict[str, Any]]]


async def walk(said: Said, deployment: Deployment, ways: Sequence[str]) -> None:
    """Follows a client through its steps, and pushes what it waits for."""
    for number, way in enumerate(ways):

        async def step() -> dict[str, Any]:
            async with asyncio.timeout(PATIENCE_S):
                found = await said()
            assert found.pop("name", None) == way, found  # noqa: B023 - awaited within the round
            return found

        assert await step() == {"prices": ["BTCUSDT"]}
        assert "unknown_symbol" in (await step())["refused"]
        assert await step() == {"item": 50.0}
        before = 776.0 + number if number else 100.0
        both = [await step(), await step()]
        assert sorted(both, key=str) == [{"channels": ["MarketData"]}, {"push": ["BTCUSDT", before]}]
        for newer in (700.0 + number, 777.0 + number):
            deployment.tell(price(newer))
            assert await step() == {"push": ["BTCUSDT", newer]}
        assert await step() == {"is_done": True}


@asynccontextmanager
async def lines_of(*command: object) -> AsyncIterator[Said]:
    """What a program says; it ends well."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), env={**os.environ, "NODE_PATH": str(PACKAGES)}, stdout=asyncio.subprocess.PIPE
    )
    stdout = process.stdout
    assert stdout is not None

    async def said() -> dict[str, Any]:
        step: dict[str, Any] = json.loads(await stdout.readline())
        return step

    try:
        yield said
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


@asynccontextmanager
async def page_elsewhere() -> AsyncIterator[str]:
    """The address of an empty page of another server of this machine."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<title>a page</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@needs_signalr
async def test_the_official_client_in_node(deployment: Deployment) -> None:
    fill(deployment)
    async with (
        interface(deployment, token="secret") as served,
        lines_of(NODE, WALK, served.url + PATH, "secret") as said,
    ):
        await walk(said, deployment, WAYS)


@needs_signalr
async def test_the_official_client_in_a_page_of_another_origin(deployment: Deployment) -> None:
    executable = headless_chromium()
    if executable is None:
        pytest.skip(NO_BROWSER)
    fill(deployment)
    steps: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with (
        interface(deployment, token="secret") as served,
        page_elsewhere() as address,
        running_browser(executable) as browser,
        asyncio.TaskGroup() as tasks,
    ):
        page = await browser.new_page()
        await page.expose_function("say", steps.put)
        await page.goto(address)
        for script in (*BUNDLES, WALK):
            await page.add_script_tag(path=script)
        program = "([url, token]) => walk(signalR, signalR.protocols.msgpack.MessagePackHubProtocol, url, token, say)"
        tasks.create_task(page.evaluate(program, [served.url + PATH, "secret"]))
        await walk(steps.get, deployment, WAYS)


needs_python = pytest.mark.skipif(not PYTHON.exists(), reason="not installed: make .venv-clients/signalr/.ready")


@needs_python
@pytest.mark.parametrize(
    ("client", "ways"),
    [("signalrcore", ("json", "messagepack", "events")), ("pysignalr", ("json", "messagepack"))],
)
async def test_clients_of_python(deployment: Deployment, client: str, ways: Sequence[str]) -> None:
    fill(deployment)
    script = ROOT / "tests" / "conformance" / "clients" / f"{client}_client.py"
    async with (
        interface(deployment, token="secret") as served,
        lines_of(PYTHON, script, served.url + PATH, "secret") as said,
    ):
        await walk(said, deployment, ways)


AROUND = {
    "js": (
        "const signalR = require('@microsoft/signalr'), token = 'secret'; (async () => { ",
        "})().catch((error) => { console.error(error); process.exit(1); });",
    ),
    "python": ("token = 'secret'\n", ""),
}
"""What the examples of the documentation leave out."""


@pytest.mark.parametrize(
    ("language", "program"),
    [pytest.param("js", NODE, marks=needs_signalr), pytest.param("python", PYTHON, marks=needs_python)],
)
async def test_examples_of_the_docs(deployment: Deployment, tmp_path: Path, language: str, program: Path) -> None:
    (example,) = (block for kind, block in FENCED.findall((DOCS / "signalr.md").read_text()) if kind == language)
    fill(deployment)
    async with interface(deployment, token="secret") as served:
        before, behind = AROUND[language]
        script = tmp_path / "example.cjs"
        script.write_text(before + example.replace("http://127.0.0.1:8080", served.url) + behind)
        process = await asyncio.create_subprocess_exec(
            str(program), str(script), env={**os.environ, "NODE_PATH": str(PACKAGES)}, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (line := await process.stdout.readline()).startswith(b"BTCUSDT 100"):
                    assert line, "it has ended"
                deployment.tell(price(123.5))
                while not (line := await process.stdout.readline()).startswith(b"BTCUSDT 123.5"):
                    assert line, "it has ended"
        finally:
            process.kill()
            await process.wait()
