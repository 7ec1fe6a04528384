import argparse
import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from api.deadman.__main__ import address_of, seconds_of
from flows.process.exit_codes import CANNOT_RUN
from tests.api.deadman.test_receiver import FIRES
from tests.fakes.deployment import ROOT, START_S, free_port


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5_400), ("7", 7)])
def test_durations_are_written_with_their_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1s", "5d", "1e9", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 90s"):
        seconds_of(text)


def test_addresses() -> None:
    assert address_of("127.0.0.1:9095") == ("127.0.0.1", 9095)
    assert address_of("[::1]:9095") == ("::1", 9095)
    for wrong in ("9095", "127.0.0.1:", "host:99999", "a b:1"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"write 127\.0\.0\.1:9095"):
            address_of(wrong)


@pytest.mark.parametrize("command", [("api.deadman", "--exec", "true", "--listen"), ("api.mcp", "--http", "--port")])
def test_a_port_that_is_taken_is_named(command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        address = f"127.0.0.1:{port}" if "--listen" in command else str(port)
        ended = subprocess.run(
            [sys.executable, "-m", *command, address],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
    assert ended.returncode == CANNOT_RUN
    assert ended.stderr.startswith(f"marketflow: cannot listen on 127.0.0.1:{port} (")
    assert "already in use" in ended.stderr


@pytest.mark.e2e
async def test_the_command_raises_an_alarm_and_takes_it_back(tmp_path: Path) -> None:
    port, said = free_port(), tmp_path / "said"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api.deadman", "--listen", f"127.0.0.1:{port}", "--after", "1s",
        "--exec", f"echo $DEADMAN_CHANGE >> {said}", cwd=ROOT, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_S), ClientSession() as session:
            while not said.exists() or not said.read_text():
                await asyncio.sleep(0.05)
            async with session.post(f"http://127.0.0.1:{port}/watchdog", data=json.dumps(FIRES)) as answer:
                assert answer.status == 200
            assert said.read_text().split()[:2] == ["alarm", "clear"]
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
