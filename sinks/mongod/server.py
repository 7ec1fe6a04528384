"""The bundled MongoDB server: MongoDB's own `mongod`, which a dependency ships as a binary (see `bundled.py`).

    python -m sinks.mongod [--path data/mongo] [--port 27017] [--cache-gb 0.25]

It listens on 127.0.0.1 without a password: for trials, for tests, and for a private machine. It ends when the command
ends; SIGINT and SIGTERM end it cleanly, and after a `kill -9` the next start recovers from the journal.
"""

import argparse
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

import pymongo
import structlog
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from flows.process import child
from flows.process.disk import NO_ROOM, disk_full
from flows.process.exit_codes import CANNOT_RUN, TRY_AGAIN
from flows.texts import database_reason
from flows.texts.arguments import number_from, whole_from
from sinks.mongod.bundled import Lent, MongodError, NoRoomError, bundled_binary, lent_library
from sinks.mongod.log import (
    ADDRESS_IN_USE,
    LISTENING,
    LogEntry,
    explain_failure,
    is_disk_full,
    is_note,
    parse_line,
    reason_of,
)

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 120.0
"""Longest start, recovery from a large journal included."""
STOP_TIMEOUT_S = 30.0
"""Longest clean stop; then the server is killed, and the next start recovers."""
LIBRARIES = "libraries"
"""Folder beside the data, for a library that the system lacks."""
LINGER_S = 4.0
"""Longest wait for clients to disconnect after a signal."""
_LOOK_S = 0.05
_APP = "marketflow-mongod"
_OTHERS: list[dict[str, Any]] = [
    {"$currentOp": {"allUsers": True, "idleConnections": True}},
    {"$match": {"client": {"$exists": True}, "appName": {"$ne": _APP}}},
    {"$limit": 1},
]
_BY_SIGNAL = 128  # exit codes above it name the signal, as in the shell
_PING_TIMEOUT_S = 2.0


class Mongod:
    """A server process, from its start to its end. Its warnings are logged.

    It does not outlive the thread that creates this object.
    """

    def __init__(
        self,
        path: Path,
        *,
        port: int,
        cache_gb: float = 0.25,
        parameters: Sequence[str] = (),
        binary: Path | None = None,
        lent: Lent | None = None,
    ) -> None:
        """Starts it with its data in `path`, created if need be; port 0 takes a free one. `parameters` are the
        server's, as `name=value`. On Linux it takes the library `lent` where the system has none, by a link in `path`.
        `MongodError` without a program or a directory for the data.
        """
        self._path = path.resolve()
        self._port = port
        self._reasons: deque[str] = deque(maxlen=20)
        self._is_listening = False
        self._listening_or_ended = threading.Event()
        program = binary or bundled_binary()
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise NoRoomError(disk_full(self._path)) from error
            raise MongodError(f"{path} cannot hold the data ({error.strerror}): choose another with --path") from error
        options = [
            *("--dbpath", str(self._path), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket", "--quiet"),
            *("--wiredTigerCacheSizeGB", str(cache_gb)),
            *(word for parameter in parameters for word in ("--setParameter", parameter)),
        ]
        self._process = _started([str(program), *options], lent or lent_library(), folder=self._path / LIBRARIES)
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), name="mongod-log", daemon=True)
        self._reader.start()

    @property
    def uri(self) -> str:
        """Its address; with port 0 only after `wait_ready`."""
        return f"mongodb://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Waits until it answers. `MongodError` when it ends instead, or takes longer than `START_TIMEOUT_S`."""
        if not self._listening_or_ended.wait(START_TIMEOUT_S):
            self.stop()
            raise MongodError(f"the bundled server did not start within {START_TIMEOUT_S:.0f} s")
        if not self._is_listening:
            raise self.failure(self.wait())
        try:
            with _client(self.uri) as client:
                client.admin.command("ping")
        except PyMongoError as error:
            self.stop()
            raise MongodError(f"the bundled server does not answer: {database_reason(error)}") from error

    def failure(self, code: int) -> MongodError:
        """Why it ended with this exit code, and what to do; a `NoRoomError` when that is to make room."""
        kind = NoRoomError if is_disk_full(code, self._reasons, path=self._path) else MongodError
        return kind(self._why_ended(code))

    def _why_ended(self, code: int) -> str:
        if code == ADDRESS_IN_USE and (holder := _server_at(self.uri)) and holder.get("path") == str(self._path):
            return f"the server with this data already runs at {self.uri} (pid {holder['pid']}): use it as it is"
        return explain_failure(code, self._reasons, path=self._path, port=self._port)

    def send_signal(self, number: int) -> None:
        """Sends a signal; SIGINT and SIGTERM end it cleanly."""
        if sys.platform == "win32":  # which has no signals between processes: it is asked over its port
            with suppress(PyMongoError), _client(self.uri) as client:
                client.admin.command("shutdown", force=True)
            return
        self._process.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits until it ends and returns its exit code, negative for a signal. `TimeoutError` after `timeout_s`."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError("mongod is still running") from None
        self._reader.join()
        return code

    def stop(self) -> int:
        """Ends it, cleanly if that takes no longer than `STOP_TIMEOUT_S`, and returns its exit code."""
        self.send_signal(signal.SIGTERM)
        if sys.platform != "win32":
            self.send_signal(signal.SIGCONT)  # a stopped process cannot handle the other
        try:
            return self.wait(STOP_TIMEOUT_S)
        except TimeoutError:
            log.warning("mongod_stop_timed_out", path=str(self._path))
            self._process.kill()
            return self.wait()

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self._on_entry(parse_line(line))
        self._listening_or_ended.set()

    def _on_entry(self, entry: LogEntry | str) -> None:
        if entry.severity in "FE" if isinstance(entry, LogEntry) else not is_note(entry):
            self._reasons.append(reason_of(entry))
        if isinstance(entry, str):
            return
        if entry.id == LISTENING:
            self._port = entry.attr["port"]
            self._is_listening = True
            self._listening_or_ended.set()
        if self._is_listening and entry.severity in "FEW":
            level = log.warning if entry.severity == "W" else log.error
            level("mongod_log_entry", message=entry.message, reason=reason_of(entry))


def _started(program: list[str], lent: Lent | None, *, folder: Path) -> subprocess.Popen[bytes]:
    """The program as a process that ends with this one; on Windows it may outlive a kill, and the next start says so.
    Ctrl-C reaches it once, through us.
    """
    if sys.platform == "win32":
        return subprocess.Popen(  # noqa: S603 - our own program
            program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
    lend = (lent.library, str(lent.file), str(folder)) if lent and sys.platform == "linux" else None
    return subprocess.Popen(  # noqa: S603 - our own program
        child.command(signal.SIGTERM, program, lend=lend),
        stdin=child.INPUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )


def _client(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, directConnection=True, serverSelectionTimeoutMS=int(_PING_TIMEOUT_S * 1_000))


def _server_at(uri: str) -> dict[str, Any] | None:
    """Directory and process id of the MongoDB server at an address; None when no server returns them."""
    try:
        with _client(uri) as client, pymongo.timeout(_PING_TIMEOUT_S):
            options = client.admin.command("getCmdLineOpts")["parsed"]
            return {"path": options["storage"]["dbPath"], "pid": client.admin.command("serverStatus")["pid"]}
    except (PyMongoError, KeyError):
        return None


@contextmanager
def running_mongod(
    path: Path, port: int = 0, *, cache_gb: float = 0.25, parameters: Sequence[str] = ()
) -> Iterator[str]:
    """Runs a server while the block runs; yields its uri. `MongodError` when it cannot be started."""
    server = Mongod(path, port=port, cache_gb=cache_gb, parameters=parameters)
    try:
        server.wait_ready()
        yield server.uri
    finally:
        server.stop()


def run(path: Path, *, port: int, cache_gb: float) -> int:
    """Runs it until it ends or a signal ends it, and returns the exit code: 0 after a clean end. `MongodError` when it
    cannot be started.

    A signal to the whole process group, like Ctrl-C, must not end the server before its clients have written: it waits
    up to `LINGER_S` until they have disconnected. A second signal ends it at once.
    """
    server = Mongod(path, port=port, cache_gb=cache_gb)
    stopping = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stopping.is_set():
            server.send_signal(number)
            return
        stopping.set()
        threading.Thread(target=_end_when_left, args=(server, number), daemon=True).start()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    try:
        server.wait_ready()
    except MongodError:
        if stopping.is_set():
            return 0
        raise
    log.info("mongod_ready", uri=server.uri, path=str(path), pid=server.pid)
    code = server.wait()
    if code and not stopping.is_set():
        failure = server.failure(code)
        log.error("mongod_ended", code=code, reason=str(failure))
        if isinstance(failure, NoRoomError):
            return TRY_AGAIN
    else:
        log.info("mongod_ended", code=code)
    return code if code >= 0 else _BY_SIGNAL - code


def _end_when_left(server: Mongod, number: int) -> None:
    deadline = time.monotonic() + LINGER_S
    with suppress(PyMongoError), MongoClient[dict[str, Any]](server.uri, appname=_APP, timeoutMS=1_000) as client:
        while time.monotonic() < deadline and any(client.admin.aggregate(_OTHERS)):
            time.sleep(_LOOK_S)
    server.send_signal(number)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Those of the command, by default of this process."""
    parser = argparse.ArgumentParser(prog="python -m sinks.mongod", description="Runs the bundled MongoDB server.")
    parser.add_argument("--path", type=Path, default=Path("data/mongo"), help="where the data is (%(default)s)")
    parser.add_argument(
        "--port", type=whole_from(1, 65_535), default=27017, help="where it listens on 127.0.0.1 (%(default)s)"
    )
    parser.add_argument(
        "--cache-gb", type=number_from(0.25, 10_000), default=0.25, help="memory for its cache, in GB (%(default)s)"
    )
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> int:
    """The command; its exit code."""
    try:
        return run(options.path, port=options.port, cache_gb=options.cache_gb)
    except MongodError as error:
        print(f"marketflow: {error}", file=sys.stderr)  # noqa: T201 - a command writes to its caller
        return TRY_AGAIN if isinstance(error, NoRoomError) else CANNOT_RUN
