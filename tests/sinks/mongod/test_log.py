import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from sinks.mongod.log import LogEntry, explain_failure, is_disk_full, parse_line, reason_of

LISTENING = (
    b'{"t":{"$date":"2026-11-21T05:13:01.000+00:00"},"s":"I",  "c":"NETWORK",  "id":23016,   "ctx":"listener",'
    b'"msg":"Waiting for connections","attr":{"port":43629,"ssl":"off"}}\n'
)
LOCKED = (
    b'{"t":{"$date":"2026-11-21T05:13:05.574+00:00"},"s":"E",  "c":"CONTROL",  "id":20557,   "ctx":"initandlisten",'
    b'"msg":"DBException in initAndListen, terminating","attr":{"error":"DBPathInUse: Unable to lock the lock file"}}\n'
)
TAKEN = (
    b'{"t":{"$date":"2026-11-21T05:13:05.613+00:00"},"s":"E",  "c":"CONTROL",  "id":20568,   "ctx":"initandlisten",'
    b'"msg":"Error setting up listener","attr":{"error":{"code":9001,"codeName":"SocketException",'
    b'"errmsg":"Address already in use"}}}\n'
)
NO_CURL = (
    b"/opt/mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file: No such file or "
    b"directory\n"
)


PWRITE = (
    b'{"s":"E","c":"WT","id":22435,"ctx":"initandlisten","msg":"WiredTiger error message","attr":{"error":28,"message":'
    b'"[1795877303:823585][4160:0x7f0de06ee3c0], wiredtiger_open: __posix_file_write: handle-write: pwrite: failed '
    b'to write 21 bytes at offset 0: No space left on device"}}\n'
)
PWRITE_LATER = (
    b'{"s":"E","c":"WT","id":22435,"msg":"WiredTiger error message","attr":{"error":28,"message":{"category":"WT_VERB_'
    b'DEFAULT","msg":"handle-write: pwrite: failed to write 4096 bytes at offset 20480","error_str":"No space left on '
    b'device","error_code":28}}}\n'
)
FATAL = (
    b'{"s":"F","c":"CONTROL","id":6384300,"ctx":"ftdc","msg":"Writing fatal message","attr":{"message":"DBException::'
    b'toString(): FileStreamFailed: Failed to write to interim file\\nActual exception type: x\\n\\n"}}\n'
)


class Usage(NamedTuple):
    """As `shutil.disk_usage` returns it."""

    total: int
    used: int
    free: int


def reasons(*lines: bytes) -> list[str]:
    return [reason_of(parse_line(line)) for line in lines]


def explained(code: int, *lines: bytes, path: Path = Path("/data")) -> str:
    return explain_failure(code, reasons(*lines), path=path, port=27017)


def test_lines_become_entries() -> None:
    assert parse_line(LISTENING) == LogEntry("I", 23016, "Waiting for connections", {"port": 43629, "ssl": "off"})
    assert parse_line(NO_CURL) == NO_CURL.decode().strip()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LISTENING, "Waiting for connections"),
        (LOCKED, "DBPathInUse: Unable to lock the lock file"),
        (PWRITE_LATER, "handle-write: pwrite: failed to write 4096 bytes at offset 20480: No space left on device"),
        (
            FATAL,
            "DBException::toString(): FileStreamFailed: Failed to write to interim file Actual exception type: x",
        ),
        (TAKEN, "Address already in use"),
        (b"Illegal instruction\n", "Illegal instruction"),
    ],
)
def test_the_reason_of_an_entry(line: bytes, reason: str) -> None:
    assert reason_of(parse_line(line)) == reason


@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("libcurl.so.4", "apt-get install libcurl4 (Debian, Ubuntu)"),
        ("libcrypto.so.3", "apt-get install libssl3 (Debian, Ubuntu)"),
        ("libexotic.so.9", "install it"),
    ],
)
def test_a_missing_library_is_named_with_its_package(library: str, remedy: str) -> None:
    assert explained(127, NO_CURL.replace(b"libcurl.so.4", library.encode())) == (
        f"the bundled server needs {library}, which this system lacks: {remedy}, or install MongoDB and set mongo.uri "
        "to its address"
    )


def test_a_system_that_cannot_run_it_is_told_where_to_go() -> None:
    too_old = (
        b"/opt/mongod: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /opt/mongod)\n"
    )
    other_processor = b"/opt/mongod cannot be run: Exec format error\n"
    for line in (too_old, other_processor):
        assert explained(1, line) == (
            f"the bundled server does not run on this system ({line.decode().strip()}): install MongoDB and set "
            "mongo.uri to its address"
        )


def test_a_taken_port_and_a_taken_directory_say_what_to_do(tmp_path: Path) -> None:
    assert explained(48, TAKEN) == (
        "port 27017 is taken by another program: choose another with --port, and set mongo.uri to "
        "mongodb://127.0.0.1:<that port>"
    )
    assert explained(100, LOCKED, path=tmp_path).startswith(f"another server has {tmp_path} open: use that one")
    (tmp_path / "mongod.lock").write_text("4711\n")
    assert explained(100, LOCKED, path=tmp_path).startswith(f"another server (pid 4711) has {tmp_path} open")


@pytest.mark.parametrize("code", [14, -6])
def test_damaged_files_are_told_with_what_to_do(code: int) -> None:
    engine = b'"attr":{"error":-31802,"message":{"msg":"bad"}}'
    line = b'{"s":"E","c":"WT","id":22435,"msg":"WiredTiger error message",' + engine + b"}\n"
    told = explained(code, line)
    assert told.startswith("the files in /data are damaged or incomplete (bad): move the directory away")
    assert "flows.verify --repair" in told


@pytest.mark.parametrize(
    ("code", "line", "free", "is_full"),
    [
        (14, PWRITE, 10**12, True),  # it says so, and others have made room since
        (100, b"boost::filesystem::create_directory: Disk quota exceeded\n", 10**12, True),
        (-6, PWRITE_LATER, 0, True),
        (-6, FATAL, 100_000_000, True),  # a file of the journal has gone with it
        (-6, FATAL, 10**12, False),
        (14, b"WT_PANIC\n", 1_000_000, True),
        (14, b"WT_PANIC\n", 100_000_000, False),
        (127, NO_CURL, 0, True),  # the link to a lent library found no room
        (127, NO_CURL, 10**12, False),
        (48, TAKEN, 0, False),
        (100, LOCKED, 0, False),
        (-9, b"", 0, False),
    ],
)
def test_a_full_disk_is_no_damage(
    code: int, line: bytes, free: int, is_full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2 * 10**12, 0, free))
    assert is_disk_full(code, reasons(line), path=tmp_path / "mongo") == is_full
    full = f"the disk of {tmp_path / 'mongo'} is full ({free / 1e6:.1f} MB of 2000000.0 MB free): make room"
    assert explained(code, line, path=tmp_path / "mongo").startswith(full) == is_full


def test_anything_else_is_what_it_said_itself() -> None:
    assert explained(7, b"disk on fire\n", b"aborting\n") == "the bundled server ended with code 7: disk on fire"
    assert explained(-6) == "the bundled server ended with code -6: it said nothing"
