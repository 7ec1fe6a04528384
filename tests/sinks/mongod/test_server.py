import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError

from flows.process.exit_codes import CANNOT_RUN, TRY_AGAIN
from sinks.mongod.bundled import LIBRARY, MongodError, bundled_binary, lent_library
from sinks.mongod.server import Mongod, main, parse_arguments, running_mongod
from tests.conftest import FAST

ROOT = Path(__file__).parents[3]
PATIENCE_S = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A place for data that is empty again afterwards: a journal takes 300 MB."""
    data = tmp_path / "mongo"
    yield data
    shutil.rmtree(data, ignore_errors=True)


def port_of(uri: str) -> int:
    return int(uri.rpartition(":")[2])


def ping(uri: str) -> dict[str, Any]:
    with MongoClient[dict[str, Any]](uri) as client:
        return client.admin.command("ping")


@pytest.mark.e2e
def test_a_server_for_as_long_as_it_is_wanted(path: Path) -> None:
    with running_mongod(path, parameters=FAST) as uri:
        assert ping(uri)["ok"] == 1.0
        with MongoClient[dict[str, Any]](uri) as client:
            options = client.admin.command("getCmdLineOpts")["parsed"]
            pid = client.admin.command("serverStatus")["pid"]
    assert options["net"]["bindIp"] == "127.0.0.1"
    assert options["storage"] == {"dbPath": str(path), "wiredTiger": {"engineConfig": {"cacheSizeGB": 0.25}}}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.e2e
def test_data_survives_a_kill(path: Path) -> None:
    server = Mongod(path, port=0, parameters=FAST)
    server.wait_ready()
    with MongoClient[dict[str, Any]](server.uri) as client:
        journaled = WriteConcern(w="majority", j=True)
        client["test"].get_collection("kept", write_concern=journaled).insert_one({"_id": 1})
    server.send_signal(signal.SIGKILL)
    assert server.wait(PATIENCE_S) == -signal.SIGKILL
    assert (path / "mongod.lock").read_text()  # the stale lock

    with running_mongod(path, parameters=FAST) as uri, MongoClient[dict[str, Any]](uri) as client:
        assert list(client["test"]["kept"].find()) == [{"_id": 1}]


@pytest.mark.e2e
def test_a_stopped_server_ends_too(path: Path) -> None:
    server = Mongod(path, port=0, parameters=FAST)
    server.wait_ready()
    server.send_signal(signal.SIGSTOP)
    assert server.stop() == 0


# --- the command ---


@contextmanager
def command(path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """The command, until it says that it is ready; it is killed if it does not end itself."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "sinks.mongod", "--path", str(path), "--port", str(port)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MARKETFLOW_LOG__FORMAT": "json"},
    )
    with process:
        try:
            assert process.stderr is not None
            ready = json.loads(process.stderr.readline())
            assert (ready["event"], ready["level"], ready["path"]) == ("mongod_ready", "info", str(path))
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_cleanly(path: Path, number: int) -> None:
    port = free_port()
    with command(path, port) as process:
        assert ping(f"mongodb://127.0.0.1:{port}")["ok"] == 1.0
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
    assert (path / "mongod.lock").read_text() == ""


@pytest.mark.e2e
def test_the_server_does_not_outlive_a_command_that_is_killed(path: Path) -> None:
    with command(path, free_port()) as process:
        server = os.pidfd_open(int((path / "mongod.lock").read_text()))
        process.kill()
        ended, _, _ = select.select([server], [], [], PATIENCE_S)
    os.close(server)
    assert ended == [server]
    assert (path / "mongod.lock").read_text() == ""  # a clean end


@pytest.mark.e2e
def test_a_second_start_says_what_is_in_its_way(
    mongod_uri: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        used = client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"]
        pid = client.admin.command("serverStatus")["pid"]
    port = port_of(mongod_uri)

    def refusal(*arguments: str) -> str:
        assert main(parse_arguments(arguments)) == CANNOT_RUN
        return capsys.readouterr().err

    assert refusal("--path", used, "--port", str(port)) == (
        f"marketflow: the server with this data already runs at {mongod_uri} (pid {pid}): use it as it is\n"
    )
    assert refusal("--path", used, "--port", str(free_port())).startswith(
        f"marketflow: another server (pid {pid}) has {used} open"
    )
    assert refusal("--path", str(path), "--port", str(port)).startswith(
        f"marketflow: port {port} is taken by another program: choose another with --port"
    )


def test_a_port_that_another_program_has_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(parse_arguments(["--path", str(path), "--port", str(port)])) == CANNOT_RUN
    assert f"port {port} is taken by another program" in capsys.readouterr().err


def test_a_place_that_can_hold_no_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(parse_arguments(["--path", str(tmp_path / "file" / "mongo"), "--port", "1"])) == CANNOT_RUN
    assert "cannot hold the data (Not a directory): choose another with --path" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_for_the_folder_is_full(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mkdir(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert main(parse_arguments(["--path", str(path), "--port", "1"])) == TRY_AGAIN
    assert f"the disk of {path} is full (" in capsys.readouterr().err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 500 MB, where this user may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leaves no byte free; the file that takes them."""
    with (disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))
    return disk / "fill"


@pytest.mark.e2e
def test_with_a_full_disk_it_says_so_and_comes_back_when_there_is_room(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filler, data = fill(small_disk), small_disk / "mongo"
    assert main(parse_arguments(["--path", str(data), "--port", str(free_port())])) == TRY_AGAIN
    assert capsys.readouterr().err == (
        f"marketflow: the disk of {data} is full (0.0 MB of 524.3 MB free): make room; its files are kept, and another "
        "start goes on\n"
    )
    filler.unlink()
    with running_mongod(data, parameters=FAST) as uri, MongoClient[dict[str, Any]](uri) as client:
        client["test"]["kept"].insert_one({"_id": 1})
        assert list(client["test"]["kept"].find()) == [{"_id": 1}]


# --- where it cannot run ---


@pytest.mark.skipif(sys.platform != "linux" or lent_library() is None, reason="the library is lent on Linux only")
@pytest.mark.e2e
def test_it_runs_where_the_system_has_no_such_library(path: Path, tmp_path: Path) -> None:
    absent = "libcurl.so.9"
    binary = tmp_path / "mongod"
    binary.write_bytes(bundled_binary().read_bytes().replace(LIBRARY.encode(), absent.encode()))
    binary.chmod(0o755)
    with pytest.raises(MongodError, match=f"needs {absent}, which this system lacks"):
        Mongod(path, port=0, binary=binary).wait_ready()

    lent = lent_library()
    assert lent is not None
    server = Mongod(path, port=0, binary=binary, lent=lent._replace(library=absent), parameters=FAST)
    server.wait_ready()
    assert ping(server.uri)["ok"] == 1.0
    mapped = Path(f"/proc/{server.pid}/maps").read_text()
    assert str(lent.file.resolve()) in mapped
    assert server.stop() == 0
    binary.unlink()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (
            "#!/bin/sh\necho mongod: error while loading shared libraries: libcurl.so.4: cannot open >&2; exit 127\n",
            "needs libcurl.so.4, .* apt-get install libcurl4",
        ),
        ("\x7fELF and nothing more", r"does not run on this system \(.*: Exec format error\): .*mongo.uri"),
        ("#!/bin/sh\nkill -ABRT $$\n", "ended with code -6: it said nothing"),
    ],
)
def test_a_program_that_cannot_run_says_why(tmp_path: Path, program: str, reason: str) -> None:
    binary = tmp_path / "mongod"
    binary.write_text(program)
    binary.chmod(0o755)
    with pytest.raises(MongodError, match=reason):
        Mongod(tmp_path / "data", port=0, binary=binary).wait_ready()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "emptied": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "flipped": lambda file: file.write_bytes(_flipped(file.read_bytes())),
}


def _flipped(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a server that was ended cleanly."""
    path = tmp_path_factory.mktemp("filled") / "mongo"
    with running_mongod(path) as uri, MongoClient[dict[str, Any]](uri) as client:
        client["market"]["market_data"].insert_many([{"_id": number, "text": "x" * 50} for number in range(20_000)])
    return path


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "damage"),
    [("WiredTiger.wt", "removed"), ("_mdb_catalog.wt", "flipped"), *(("the collection", kind) for kind in DAMAGES)],
)
def test_damaged_files_are_told_with_what_to_do_and_never_read_in_part(
    filled: Path, path: Path, name: str, damage: str
) -> None:
    shutil.copytree(filled, path, ignore=shutil.ignore_patterns("journal"))  # 300 MB, and of no use after a clean end
    largest = max(path.glob("collection-*.wt"), key=lambda file: file.stat().st_size)
    DAMAGES[damage](largest if name == "the collection" else path / name)
    server = None
    try:
        server = Mongod(path, port=0)
        server.wait_ready()
        with MongoClient[dict[str, Any]](server.uri, serverSelectionTimeoutMS=5_000) as client:
            assert len(list(client["market"]["market_data"].find())) == 20_000  # what was damaged is not needed
    except (MongodError, PyMongoError) as error:
        assert server is not None
        told = str(error) if isinstance(error, MongodError) else str(server.failure(server.wait()))
        assert f"the files in {path} are damaged or incomplete" in told
        assert "\n" not in told
    finally:
        if server is not None:
            server.stop()
