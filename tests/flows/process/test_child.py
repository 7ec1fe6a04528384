"""A program that does not outlive its parent."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

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


SAY = ("/bin/sh", "-c", "echo ${LD_LIBRARY_PATH-none}")
linux = pytest.mark.skipif(sys.platform != "linux", reason="a loader's search path is set on Linux only")


@linux
@pytest.mark.e2e
def test_a_library_that_the_system_lacks_is_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = tmp_path / "libs" / "liblent-1.so.1", tmp_path / "made"
    file.parent.mkdir()
    file.touch()
    monkeypatch.delenv(child.SEARCH_PATH, raising=False)
    for before in ("", "/elsewhere"):  # and a second start over the link of the first
        if before:
            monkeypatch.setenv(child.SEARCH_PATH, before)
        done = run("--lend", "liblent.so.1", str(file), str(folder), str(os.getpid()), "15", *SAY)
        assert done.stdout.strip().split(":") == [str(folder), str(file.parent), *([before] if before else [])]
        assert (folder / "liblent.so.1").readlink() == file


@linux
@pytest.mark.e2e
def test_a_library_that_the_system_has_is_taken_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(child.SEARCH_PATH, raising=False)
    done = run("--lend", "libc.so.6", "/none", str(tmp_path / "made"), str(os.getpid()), "15", *SAY)
    assert done.stdout == "none\n"
    assert not (tmp_path / "made").exists()


@linux
@pytest.mark.e2e
def test_a_link_that_cannot_be_made_leaves_the_word_to_the_loader(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("--lend", "liblent.so.1", "/none", str(tmp_path / "file" / "made"), str(os.getpid()), "15", "/bin/true")
    assert (done.returncode, done.stderr) == (0, "")


ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
import child
print(child.main(int(sys.argv[2]), 15, sys.argv[3:], platform="another"))
"""
PARENT_ELSEWHERE = """
import os, subprocess, sys
command = [sys.executable, "-c", sys.argv[1], sys.argv[2], str(os.getpid()), *sys.argv[3:]]
subprocess.Popen(command, stdin=subprocess.PIPE).wait()
"""


@pytest.mark.e2e
def test_so_does_it_where_the_kernel_does_not_tell() -> None:
    folder = str(Path(child.__file__).parent)
    program = ("/bin/sh", "-c", "echo $$; exec sleep 600")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT_ELSEWHERE, ELSEWHERE, folder, *program], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
        assert parent.stdout.read() == ""  # the watch has not kept it open


@pytest.mark.e2e
def test_the_watch_ends_with_the_program() -> None:
    folder = str(Path(child.__file__).parent)
    reads, writes = os.pipe()  # the read end is the watch's too: it is gone when nobody can read any more
    program = ("/bin/sh", "-c", "exit 7")
    command = [sys.executable, "-c", ELSEWHERE, folder, str(os.getpid()), *program]
    with subprocess.Popen(command, stdin=reads) as process:
        os.close(reads)
        assert process.wait(60) == 7
    poll = select.poll()
    poll.register(writes, 0)
    assert poll.poll(60_000)
    os.close(writes)
