"""A program that does not outlive its parent."""

import os
import signal
import subprocess
import sys

import pytest

from flows.process import child

PARENT = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-I", sys.argv[1], str(os.getpid()), sys.argv[2], "/bin/sh", "-c", "echo $$; exec sleep 600"],
)
child.wait()
"""


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_program_ends_with_a_parent_that_is_killed(number: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, child.__file__, str(int(number))]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
        assert parent.stdout.read() == ""  # it ends when the child is gone too, who has the other end of the pipe
    assert parent.returncode == -signal.SIGKILL


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, child.__file__, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.e2e
def test_the_program_takes_the_place_of_the_process() -> None:
    command = child.command(signal.SIGTERM, ["/bin/sh", "-c", "echo $$ $PPID; exit 7"])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stdout.split()[1] == str(os.getpid())


@pytest.mark.e2e
def test_a_parent_that_is_gone_already_gets_no_child() -> None:
    done = run("1", "9", "/bin/sh", "-c", "echo started")
    assert (done.returncode, done.stdout, done.stderr) == (child.CANNOT_EXEC, "", "the parent has ended already\n")


@pytest.mark.e2e
def test_a_program_that_cannot_be_run_is_named() -> None:
    done = run(str(os.getpid()), "9", "/etc/passwd")
    assert (done.returncode, done.stderr) == (126, "/etc/passwd cannot be run: Permission denied\n")
