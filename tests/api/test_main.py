"""`python -m api` as a process: it serves, ends on a signal, and reports wrong settings."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from flows.process.exit_codes import CANNOT_RUN
from tests.fakes.deployment import ROOT, START_S, free_port

pytestmark = pytest.mark.e2e


async def start(folder: Path, **settings: str) -> asyncio.subprocess.Process:
    chosen = {"mongo__uri": f"mongodb://127.0.0.1:{free_port()}", "log__format": "json"} | settings
    environment = {f"MARKETFLOW_{key.upper()}": value for key, value in chosen.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", cwd=folder, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


async def said_until(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stderr
    async with asyncio.timeout(START_S):
        while text not in (line := (await process.stderr.readline()).decode()):
            assert line, "it ended"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_alone_and_ends_on_a_signal(tmp_path: Path, number: int) -> None:
    port = free_port()
    process = await start(tmp_path, api__port=str(port))
    await said_until(process, '"event": "serving"')
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/health/live") as response:
        assert response.status == 200
    process.send_signal(number)
    _, rest = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 0
    assert b"Traceback" not in rest


async def test_a_port_that_is_taken_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await start(tmp_path, api__port=str(taken.getsockname()[1]))
        _, said = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == CANNOT_RUN
    assert b"(api.host, api.port)" in said


async def test_an_address_that_others_can_reach_needs_a_token(tmp_path: Path) -> None:
    process = await start(tmp_path, api__host="0.0.0.0")
    _, said = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == CANNOT_RUN
    assert b"set token, or listen on 127.0.0.1" in said
