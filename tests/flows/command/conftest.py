"""Commands run in a folder of their own, without settings from outside."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import structlog
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from flows.command.app import PROGRAM, build_app

Run: TypeAlias = Callable[..., Coroutine[Any, Any, Result]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which is empty."""
    for name in [name for name in os.environ if name.startswith("MARKETFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _quiet_peers() -> Iterator[None]:
    """Servers in this process log nothing to the standard output that a command writes to. What a command sets up for
    its own process ends with the test: its error output is closed then.
    """
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with capture_logs():
        yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def call() -> Callable[..., Result]:
    """Runs a command to its end."""

    def run(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(build_app(), list(arguments), input=typed, prog_name=PROGRAM)

    return run


@pytest.fixture
def run(call: Callable[..., Result]) -> Run:
    """The same beside peers in this process's event loop, as commands have a loop of their own."""

    async def in_thread(*arguments: str, typed: str = "") -> Result:
        return await asyncio.to_thread(call, *arguments, typed=typed)

    return in_thread
