"""What is said at the end of a process whose engine panics, in a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.process.exit_codes import TRY_AGAIN
from tests.fakes.deployment import ROOT

FULL = 'SqliteFailure(Error { code: DiskFull, extended_code: 13 }, Some("database or disk is full"))'
PANIC = r"""
import os, sys
from pathlib import Path
from flows.process.engine_end import explain_full_disk
explain_full_disk(Path(sys.argv[1]))
os.write(2, b"before\n")
for piece in ("thread '", "<unnamed>", "' panicked at x.rs:1:2:\n", "unwrap on an Err\n"):
    os.write(2, piece.encode())
sys.stderr.write("the log goes on\n")
"""
ENGINE = """
import sys
from datetime import timedelta
from pathlib import Path
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from bytewax.testing import TestingSink, TestingSource
from flows.process.engine_end import explain_full_disk

folder = Path(sys.argv[1])
init_db_dir(folder, 1)
explain_full_disk(folder)

def fill(state, value):
    if value == 20:
        with (folder / "fill").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65_536))
            except OSError:
                pass
    return bytes(1_000 * value), value

flow = Dataflow("flow")
kept = op.stateful_map("kept", op.key_on("key", op.input("in", flow, TestingSource(range(10_000))), str), fill)
op.output("out", kept, TestingSink([]))
cli_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(str(folder)))
"""


def run(code: str, folder: Path) -> tuple[int, str]:
    """Exit code and standard error of a program."""
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stderr


def test_a_full_disk_ends_in_one_sentence(tmp_path: Path) -> None:
    code, said = run(f"{PANIC}raise RuntimeError('''{FULL}''')", tmp_path)
    *log, sentence = said.splitlines()
    assert (code, sorted(log)) == (TRY_AGAIN, ["before", "the log goes on"])
    assert sentence.startswith(f"marketflow: the disk of {tmp_path} was full, and has room again (")


def test_any_other_error_is_shown_as_it_was(tmp_path: Path) -> None:
    code, said = run(f"{PANIC}raise RuntimeError('a bug')", tmp_path)
    assert code == 1
    assert "thread '<unnamed>' panicked at x.rs:1:2:\nunwrap on an Err\nTraceback" in said
    assert said.endswith("RuntimeError: a bug\n")


def test_a_panic_that_ends_nothing_is_shown_at_the_end(tmp_path: Path) -> None:
    code, said = run(PANIC, tmp_path)
    assert code == 0
    assert "thread '<unnamed>' panicked at x.rs:1:2:\nunwrap on an Err\n" in said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enlarges a pipe")
def test_an_abort_says_where_it_was(tmp_path: Path) -> None:
    code, errors = run(f"{PANIC}\ndef here():\n    os.abort()\nhere()", tmp_path)
    assert code == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in errors
    assert "in here" in errors


def test_much_that_is_written_under_the_interpreters_lock_halts_nothing(tmp_path: Path) -> None:
    text = "x" * 500_000
    write = f"import ctypes\nctypes.PyDLL(None).write(2, b'x' * {len(text)}, {len(text)})\n"
    code, said = run(f"{PANIC.partition('os.write(2')[0]}{write}", tmp_path)
    assert (code, said) == (0, text)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, where this user may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.e2e
def test_the_engine_itself_on_a_full_disk(small_disk: Path) -> None:
    code, said = run(ENGINE, small_disk)
    assert code == TRY_AGAIN, said
    assert said.startswith(f"marketflow: the disk of {small_disk} is full (")
    assert said.count("\n") == 1
