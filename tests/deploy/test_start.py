"""What becomes of the processes of a Procfile when their terminal or the reader of their output goes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

START = Path(__file__).parents[2] / "deploy" / "start.py"
QUIET = "sleep 600"
CHILD = "while :; do echo going on; sleep 0.05; done"
PATIENCE_S = 60


def started(tmp_path: Path, then: str = CHILD) -> tuple[subprocess.Popen[bytes], int]:
    """The command with one process that says something again and again, and that process's id."""
    procfile = tmp_path / "procfile"
    procfile.write_text(f"talker: {sys.executable} -c 'import os; print(os.getppid(), flush=True)'; {then}\n")
    process = subprocess.Popen(
        [sys.executable, str(START), "--no-colour", "-f", str(procfile), "-d", str(tmp_path), "start"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        word = line.split()[-1]
        if word.isdigit():
            return process, int(word)
    raise AssertionError("the process has said nothing")


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_also_that_of_a_closed_terminal(tmp_path: Path, number: signal.Signals) -> None:
    process, talker = started(tmp_path)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    assert has_ended(talker)


@pytest.mark.e2e
@pytest.mark.parametrize("then", [CHILD, QUIET])
@pytest.mark.parametrize("also", [None, signal.SIGINT])
def test_when_nothing_reads_the_output_all_end(tmp_path: Path, also: signal.Signals | None, then: str) -> None:
    process, talker = started(tmp_path, then)
    assert process.stdout is not None
    process.stdout.close()
    if also is not None:
        process.send_signal(also)  # Ctrl-C reaches the reader behind the pipe too, which ends first
    process.wait(PATIENCE_S)
    assert has_ended(talker)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("kill -9 $$", "talker.1 was ended by SIGKILL, so all others are ended: somebody"),
        (
            "sh -c 'kill -9 $$'; exit $?",
            "talker.1 was ended by SIGKILL, so all others are ended: somebody",
        ),
        ("exit 3", "talker.1 ended with exit code 3, so all others are ended: see the last lines of talker.1 above"),
        ("true", "talker.1 has ended by itself, so all others are ended: see the last lines of talker.1 above"),
    ],
)
def test_why_all_are_ended_is_said_once(tmp_path: Path, command: str, says: str) -> None:
    procfile = tmp_path / "procfile"
    procfile.write_text(f"talker: sleep 0.5; {command}\nother: {QUIET}\n")
    line = [sys.executable, str(START), "--no-colour", "-f", str(procfile), "-d", str(tmp_path), "start"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stdout.count("so all others are ended") == 1
    assert says in done.stdout


@pytest.mark.e2e
def test_a_second_instance_in_a_folder_names_the_first_and_touches_nothing(tmp_path: Path) -> None:
    folder, procfile = tmp_path / "data", tmp_path / "procfile"
    kept = folder / "kept"
    procfile.write_text(f"talker: mkdir -p {folder}; touch {kept}; echo begun $$; exec {QUIET}\n")
    line = [sys.executable, str(START), "--alone", str(folder), "--anew", "--no-colour", "-f", str(procfile), "start"]
    first = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert first.stdout is not None
    talker = next(int(line.split()[-1]) for line in first.stdout if "begun" in line)
    second = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert second.returncode == 1
    assert f"already running here (pid {first.pid}, since " in second.stderr
    assert kept.exists()
    os.killpg(first.pid, signal.SIGKILL)
    os.kill(talker, signal.SIGKILL)  # it has a session of its own
    first.communicate(timeout=PATIENCE_S)
    procfile.write_text("talker: true\n")
    third = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "already running" not in third.stderr  # the lock ends with its process, however that ends
    assert not kept.exists()
