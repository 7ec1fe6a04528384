"""What becomes of small processes when one of them, their supervisor, their terminal or their reader goes."""

import errno
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.process import child
from flows.process.exit_codes import CANNOT_RUN, TRY_AGAIN
from flows.supervision.known import known
from flows.supervision.supervisor import supervise
from tests.fakes.deployment import ROOT, free_port
from tests.flows.supervision.supervised import (
    PATIENCE_S,
    QUIET,
    TALKER,
    Supervised,
    command_of,
    is_gone,
    python,
    supervised,
    until,
)

pytestmark = pytest.mark.e2e

DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{QUIET}"
SIGTERM_IS_SAID = (
    "import os, signal, sys, time\n"
    "def end(*_): print('asked to end'); time.sleep(0.3); print('ends'); sys.exit()\n"
    "signal.signal(signal.SIGTERM, end)\n"
    "print('begun', os.getpid()); time.sleep(600)"
)
PARENT = f"""
import os, subprocess, sys
other = subprocess.Popen([sys.executable, {child.__file__!r}, str(os.getpid()), "15", sys.executable, "-c", {QUIET!r}])
other.wait()
"""
"""A process with one of its own, which it starts as the supervisor does."""


def both_begun(run: Supervised, *names: str) -> list[int]:
    return [run.pid_of(name) for name in names]


def test_a_killed_process_comes_back_and_the_others_go_on(tmp_path: Path) -> None:
    with supervised(tmp_path, python("one", QUIET), python("two", TALKER)) as run:
        one, two = both_begun(run, "one", "two")
        os.kill(one, signal.SIGKILL)
        said = r"marketflow \| one was ended by SIGKILL: a user .*; it is started again in 0.5 s\n"
        end = run.until_said(said).end()
        assert run.pid_of("one", after=end) != one
        run.until_said(r"two +\| going on\n", after=run.until_said(r"one is started \(pid \d+, start 2\)").end())
        assert not is_gone(two)
        assert run.ended() == 143
        assert is_gone(two)


def test_an_end_by_itself_is_said_with_its_code_and_the_wait_grows(tmp_path: Path) -> None:
    with supervised(tmp_path, python("one", "import sys; print('last words'); sys.exit(3)")) as run:
        assert run.until_end() == 3
    said = [line for line in run.said.splitlines() if "ended with exit code 3" in line]
    assert [line.rpartition(" in ")[2] for line in said[:-1]] == ["0.5 s", "1 s", "2 s", "4 s"]
    assert "5 starts have failed, so all others are ended" in said[-1]
    assert run.said.count("one        | last words") == 5


@pytest.mark.parametrize("prepare", [None, (sys.executable, "-c", "print('prepared')")])
def test_a_process_that_cannot_run_as_it_is_configured_ends_all_at_once(
    tmp_path: Path, prepare: tuple[str, ...] | None
) -> None:
    refusing = python("one", f"import sys; sys.exit({CANNOT_RUN})", prepare=prepare)
    with supervised(tmp_path, refusing, python("two", QUIET)) as run:
        assert run.until_end() == CANNOT_RUN
    assert "one ended with exit code 78: it cannot run as it is configured, so all others are ended; see" in run.said
    assert run.said.count("one is started") == 1
    assert run.said.count("prepared") == (prepare is not None)


def test_what_fails_in_the_preparation_counts_as_the_end_of_the_process(tmp_path: Path) -> None:
    refusing = python("one", QUIET, prepare=(sys.executable, "-c", f"import sys; sys.exit({CANNOT_RUN})"))
    with supervised(tmp_path, refusing) as run:
        assert run.until_end() == CANNOT_RUN
    assert "begun" not in run.said


def test_after_a_kill_a_process_may_refuse_for_a_while(tmp_path: Path) -> None:
    code = f"import os, sys\nif os.path.exists('taken'): os.remove('taken'); sys.exit({CANNOT_RUN})\n{QUIET}"
    with supervised(tmp_path, python("one", code)) as run:
        one = run.pid_of("one")
        (tmp_path / "taken").touch()
        os.kill(one, signal.SIGKILL)
        end = run.until_said(r"one ended with exit code 78; it is started again in 1 s\n").end()
        run.pid_of("one", after=end)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_in_reverse_order(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path, python("one", SIGTERM_IS_SAID), python("two", SIGTERM_IS_SAID)) as run:
        pids = both_begun(run, "one", "two")
        assert run.ended(number) == 128 + number
        assert all(map(is_gone, pids))
    said = [line.split() for line in run.said.splitlines() if "end" in line]
    assert [(line[0], line[2]) for line in said] == [
        ("two", "asked"), ("two", "ends"), ("one", "asked"), ("one", "ends"),
    ]  # fmt: skip


def test_what_hangs_is_killed_and_so_is_what_was_stopped(tmp_path: Path) -> None:
    with supervised(tmp_path, python("one", DEAF), python("two", QUIET)) as run:
        pids = both_begun(run, "one", "two")
        os.kill(pids[1], signal.SIGSTOP)
        assert run.ended() == 143
        assert all(map(is_gone, pids))
    assert "one has not ended in time, so it is killed" in run.said
    assert "two has not" not in run.said


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with supervised(tmp_path, python("one", DEAF)) as run:
        one = run.pid_of("one")
        run.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            run.process.wait(1)  # longer than a signal that is passed on twice takes
        assert run.ended(signal.SIGINT) == 130
        assert is_gone(one)


def test_a_supervisor_that_is_killed_leaves_neither_children_nor_theirs(tmp_path: Path) -> None:
    with supervised(tmp_path, python("one", DEAF), python("two", TALKER), python("parent", PARENT)) as run:
        pids = both_begun(run, "one", "two", "parent")
        run.process.kill()
        until(lambda: all(map(is_gone, pids)))


@pytest.mark.parametrize("code", [QUIET, TALKER])
@pytest.mark.parametrize("also", [None, signal.SIGINT])
def test_when_nothing_reads_the_output_all_end(tmp_path: Path, also: signal.Signals | None, code: str) -> None:
    with supervised(tmp_path, python("one", code)) as run:
        one = run.pid_of("one")
        assert run.process.stdout is not None
        run.process.stdout.close()
        if also is not None:
            run.process.send_signal(also)  # Ctrl-C reaches the reader behind the pipe too, which ends first
        assert run.process.wait(PATIENCE_S) in (141, 130)
        assert is_gone(one)


def test_when_the_terminal_closes_all_end(tmp_path: Path) -> None:
    own, other = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        command_of(python("one", QUIET)), cwd=tmp_path, env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=other, stdout=other, stderr=other,
    )  # fmt: skip
    os.close(other)
    try:
        said = b""
        while not said.endswith(b"\n") or b"begun" not in said:
            said += os.read(own, 4_096)
        one = int(said.split()[-1])
        assert b"\x1b[36mone        | \x1b[0mbegun" in said
        os.close(own)
        process.wait(PATIENCE_S)
        assert is_gone(one)
    finally:
        process.kill()
        process.wait()


def test_output_that_nothing_takes_stops_no_process_and_no_end(tmp_path: Path) -> None:
    chatty = "import os\nfor _ in range(3000): print('x' * 4000)\nopen('through', 'w').close()\n" + QUIET
    with supervised(tmp_path, python("one", chatty)) as run:
        until((tmp_path / "through").exists)
        run.until_said(r"marketflow \| [\d,]+ lines? (?:was|were) left out, since nothing took the output\n")
        assert run.ended() == 143


def test_a_second_instance_in_a_folder_names_the_first_and_touches_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "data" / "kept"
    keeps = f"import os; os.makedirs('data', exist_ok=True); open('data/kept', 'w').close()\n{QUIET}"
    with supervised(tmp_path, python("one", keeps), anew=True) as first:
        one = first.pid_of("one")
        with supervised(tmp_path, python("one", keeps), anew=True) as second:
            assert second.until_end() == 1
        assert f"already running here (pid {first.process.pid}, since " in second.said
        assert kept.exists()
        first.process.kill()
        until(lambda: is_gone(one))
        with supervised(tmp_path, python("one", QUIET), anew=True) as third:
            third.pid_of("one")  # the lock ends with its process, however that ends
            assert not kept.exists()


def test_a_folder_remembers_by_what_others_find_the_deployment(tmp_path: Path) -> None:
    with supervised(tmp_path, python("one", QUIET), anew=True, variables={"A": "b c"}) as run:
        run.pid_of("one")
        assert known(tmp_path / "data") == {"A": "b c"}


def test_the_greeting_comes_first(tmp_path: Path) -> None:
    with supervised(tmp_path, python("one", QUIET), greeting="hello\n\n") as run:
        run.pid_of("one")
        assert run.said.startswith("hello\n\nmarketflow | one is started (pid ")


def test_systemd_hears_that_it_is_ready_alive_only_while_all_run_and_stopping(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(PATIENCE_S)
        environment = [("NOTIFY_SOCKET", address), ("WATCHDOG_USEC", "600000")]
        speaks = f"import os; print('socket', 'NOTIFY_SOCKET' in os.environ)\n{QUIET}"
        with supervised(tmp_path, python("one", speaks), environment=environment) as run:
            one = run.pid_of("one")
            assert "socket False" in run.said
            while not listener.recv(4_096).startswith(b"READY=1"):
                pass
            assert listener.recv(4_096) == b"WATCHDOG=1"
            os.kill(one, signal.SIGKILL)
            while (said := listener.recv(4_096)) == b"WATCHDOG=1":
                pass
            assert said == b"STATUS=not running: one"
            assert listener.recv(4_096) == b"WATCHDOG=1"  # it is back
            run.process.send_signal(signal.SIGTERM)
            while listener.recv(4_096) != b"STOPPING=1":
                pass
            assert run.until_end() == 143


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").touch()
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        assert supervise([], folder=folder) == 1
        said = capsys.readouterr().err
        assert (f"{folder} cannot be used" in said, "--folder" in said) == (True, True)
    assert (tmp_path / "taken").is_file()


def test_a_port_that_is_taken_is_named_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kept").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        listens = [("one.port", "127.0.0.1", 0), ("two.port", "127.0.0.1", port)]
        with supervised(tmp_path, python("one", QUIET, listens=listens), anew=True, greeting="welcome\n") as run:
            assert run.until_end() == CANNOT_RUN
    remedy = "end what listens there, or choose another by two.port"
    assert run.said == f"marketflow: two.port: port {port} of 127.0.0.1 is taken: {remedy}\n"
    assert (tmp_path / "data" / "kept").exists()
    assert not (tmp_path / "data.lock").exists()


def test_a_port_that_becomes_free_in_time_is_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listens = [("one.port", "127.0.0.1", other.getsockname()[1])]
        with supervised(tmp_path, python("one", QUIET, listens=listens)) as run:
            until((tmp_path / "data.lock").exists)
            other.close()
            both_begun(run, "one")
            assert run.ended() == 143


LISTENER = """
import os, socket, time
print('begun', os.getpid())
while not os.path.exists('go'): time.sleep(0.02)
with socket.create_server(('127.0.0.1', int(os.environ['PORT']))): time.sleep(600)
"""


def test_a_process_is_prepared_at_once_and_started_when_what_it_needs_listens(tmp_path: Path) -> None:
    port = free_port()
    spec = python("one", LISTENER, env={"PORT": str(port)}, listens=[("one.port", "127.0.0.1", port)])
    prepare = (sys.executable, "-c", "print('prepared')")
    with supervised(tmp_path, spec, python("two", QUIET, prepare=prepare, needs=["one"])) as run:
        run.until_said(r"two +\| prepared\n")
        run.until_said(r"marketflow \| two waits for one\n")
        assert "two is started" not in run.said
        (tmp_path / "go").touch()
        two = run.pid_of("two")
        os.kill(two, signal.SIGKILL)  # a restart waits for nothing
        begin = len(run.said)
        run.pid_of("two", after=begin)
        assert run.said.count("two waits for") == 1
        assert run.ended() == 143


def test_a_full_disk_is_named_and_can_be_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_text(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", write_text)
    assert supervise([], folder=tmp_path / "data") == TRY_AGAIN
    assert capsys.readouterr().err.startswith(f"marketflow: the disk of {tmp_path / 'data'} is full (")
