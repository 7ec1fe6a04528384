"""The wheel: what it holds, and that the packages and the page work from it."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.closed_candle import seen
from tests.fakes.deployment import ROOT, START_S, environment_of, flow_settings, free_port

pytestmark = pytest.mark.e2e

PACKAGES = ("api", "flows", "sinks", "sources")
CHART = "api/dashboard/vendor/lightweight-charts.standalone.production.mjs"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [path] = folder.glob("marketflow_data-*.whl")
    return path


def test_it_holds_every_module_and_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.name.startswith("package")
        and path.suffix != ".so"
    }
    compiled = {name for name in held if name.endswith(".so")}
    assert held - compiled == files | {"flows/command/explore.py"}  # the notebook, for `marketflow notebook`
    assert {f"{package}/py.typed" for package in PACKAGES} < held


@pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler is here")
def test_it_holds_what_is_written_in_c_compiled_for_this_platform(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ending = sysconfig.get_config_var("EXT_SUFFIX")
    written = [name for name in names if name.endswith(".c")]
    assert {name.removesuffix(".c") + ending for name in written} <= names
    assert written
    assert not wheel.stem.endswith("-any")


def test_without_a_compiler_it_is_one_for_any_platform(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    environment = os.environ | {"CC": str(tmp_path / "missing")}
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment)
    [path] = tmp_path.glob("*.whl")
    assert path.stem.endswith("-py3-none-any")
    assert "_runs.c is not compiled" in done.stdout + done.stderr
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    folder = wheel.parent / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*install, str(folder), str(wheel)], check=True)
    return folder


async def test_the_page_and_its_chart_library_are_served_from_it(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", cwd=tmp_path, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(installed), "MARKETFLOW_API__PORT": str(port)},
    )  # fmt: skip
    try:
        assert process.stderr
        async with asyncio.timeout(START_S):
            while b"serving" not in (line := await process.stderr.readline()):
                assert line, "it ended"
        async with ClientSession(f"http://127.0.0.1:{port}") as session:
            for name in ("index.html", "main.js", *([Path(CHART).name] if (ROOT / CHART).exists() else [])):
                [file] = (installed / "api" / "dashboard").rglob(name)
                path = file.relative_to(installed / "api" / "dashboard").as_posix()
                async with session.get("/" if name == "index.html" else f"/static/{path}") as response:
                    assert response.status == 200
                    sent = re.sub(rb"/static/[0-9a-f]{16}/", b"/static/", await response.read())
                    assert b"/static/bundle/main.js" in sent if name == "index.html" else sent == file.read_bytes()
    finally:
        process.terminate()
        await process.communicate()


def test_the_command_comes_with_it(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for command in ([sys.executable, "-m", "flows"], [str(installed / "bin" / "marketflow")]):
        done = subprocess.run(
            [*command, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout[: len("marketflow ")]) == (0, "marketflow "), done.stderr
    assert (installed / "flows" / "command" / "explore.py").read_bytes() == (ROOT / "notebooks/explore.py").read_bytes()


@asynccontextmanager
async def running(folder: Path, environment: dict[str, str], *command: str) -> AsyncIterator[None]:
    """A command of the installed packages in `folder`; its log is there too."""
    with (folder / f"{command[-1].lstrip('-')}.log").open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=folder, env=environment, stdout=out, stderr=out
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def imported_from(folder: Path, environment: dict[str, str]) -> Path:
    """Where a process of this environment finds the packages."""
    asks = [sys.executable, "-c", "import flows; print(flows.__file__)"]
    said = subprocess.run(asks, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    return Path(said.strip())


async def test_a_demo_runs_from_it_and_a_closed_candle_comes_and_is_stored(installed: Path, tmp_path: Path) -> None:
    exchange, mongod, hub = free_port(), free_port(), free_port()
    uri = f"mongodb://127.0.0.1:{mongod}"
    settings = flow_settings(tmp_path, f"http://127.0.0.1:{exchange}", uri, feed__symbols=["BTCUSDT"], hub__port=hub)
    environment = environment_of(settings | {"metrics__enabled": False, "mongo__database": "demo"})
    environment["PYTHONPATH"] = str(installed)
    assert imported_from(tmp_path, environment).is_relative_to(installed)

    market = ["--synthetic", "--symbols", "BTCUSDT", "--times", "original", "--speed", "60", "--port", str(exchange)]
    async with AsyncExitStack() as stack:
        for command in (
            ["-m", "sinks.mongod", "--path", str(tmp_path / "mongo"), "--port", str(mongod)],
            ["-m", "sources.replay", *market],
            ["-m", "bytewax.run", "flows.main"],
        ):
            await stack.enter_async_context(running(tmp_path, environment, *command))
        update, stored = await seen(f"ws://127.0.0.1:{hub}/ws", uri, "demo", within_s=START_S)
    shutil.rmtree(tmp_path / "mongo")
    assert (update["data"]["symbol"], update["data"]["timeframe"]) == ("BTCUSDT", "1m")
    assert stored["is_closed"]
