"""Ctrl-C while a command is being imported ends it, without a traceback; a program that imports the project keeps its
own handling.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.process.interrupts import is_command

COMMANDS = [
    "api",
    "api.mcp",
    "bytewax.run flows.main",
    "bytewax.run flows.backfill",
    "flows.recovery",
    "flows.verify",
    "sinks.mongod",
    "sources.record",
    "sources.replay",
]
IMPORTED = ("structlog", "msgspec", "pydantic", "sqlite3"), ("typing",)
"""Each command imports one of these; the last one is among what the project's first lines import."""
INTERRUPTED = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
PATIENCE_S = 60


@pytest.mark.parametrize(
    ("command", "names"), [*((command, IMPORTED[0]) for command in COMMANDS), ("flows status", IMPORTED[1])]
)
def test_an_interrupt_among_the_imports_ends_a_command_quietly(
    command: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / f"{name}.py").write_text(INTERRUPTED)
    path = os.pathsep.join((str(tmp_path), str(Path.cwd())))
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")


@pytest.mark.parametrize("moment", ["build_app", "keep_loaded"])
def test_an_interrupt_before_or_behind_the_work_of_a_command_ends_it_quietly(moment: str) -> None:
    lines = (
        "import os, signal, sys; sys.orig_argv = ['python', '-m', 'flows']",
        "from flows.command import app",
        f"app.{moment} = lambda: os.kill(os.getpid(), signal.SIGINT)",
        "app.main(['--version'])",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_ended_leaves_no_part_of_a_file(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "marketflow.toml"
    path.write_text("old")
    lines = (
        "import os, shutil, signal, sys; sys.orig_argv = ['python', '-m', 'flows']",
        "from flows.command import app",
        f"shutil.copymode = lambda old, new: print(new.stat().st_size) or os.kill(os.getpid(), {int(number)})",
        f"sys.exit(app.main(['config', 'init', '--force', '--path', {str(path)!r}]))",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stderr) == (128 + number, "")
    assert int(done.stdout) > 1_000  # the part was whole
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [(path.name, "old")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_packages_that_are_imported_while_a_command_works_leave_it_its_interrupts(number: signal.Signals) -> None:
    lines = (
        "import os, signal, sys; sys.orig_argv = ['python', '-m', 'flows']",
        "from flows.command.outcome import ends_in_words",
        "with ends_in_words(debug=False):",
        "    try:",
        "        import api, sinks, sources, polars",
        f"        os.kill(os.getpid(), {int(number)})",
        "        signal.pause()",
        "    finally:",
        "        print('cleaned up', flush=True)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.stdout == "cleaned up\n"


def test_an_interrupt_behind_a_library_with_a_handler_of_its_own_ends_a_command() -> None:
    begin = "import sys, time; sys.orig_argv = ['python', '-m', 'api']; import flows, polars"
    program = f"{begin}; print('ready', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 128 + signal.SIGINT


def test_a_program_that_imports_the_project_keeps_its_handling() -> None:
    code = "import api, flows, signal, sinks, sources; print(signal.getsignal(signal.SIGINT).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stdout == "default_int_handler\n"


@pytest.mark.parametrize(
    ("line", "is_ours"),
    [
        ("python -m api", True),
        ("python -mapi.mcp --http", True),
        ("python -X dev -W error -u -m sources.replay", True),
        ("python -m bytewax.run -w 1 flows.main:flow", True),
        ("python -m bytewax.run theirs.flow", False),
        ("python -m pytest tests/flows", False),
        ("python -m apiary", False),
        ("python /usr/bin/marketflow status", True),
        ("python -m flows status", True),
        ("python script.py -m api", False),
        ("python -c pass -m api", False),
        ("python", False),
    ],
)
def test_which_processes_are_commands(line: str, *, is_ours: bool) -> None:
    assert is_command(line.split()) is is_ours
