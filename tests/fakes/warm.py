"""Processes that begin with everything imported: most of what a process of ours does at its start is importing, which
takes one or two seconds of a processor each time.

One process of its own imports the libraries and those modules of ours that do nothing at their import, and is forked
for every command. From there on a command goes the way of `python -m`: it gets its own arguments, environment, folder
and output, runs its own module, and ends as an interpreter does. How it is started by users is shown by the tests that
start it so.
"""

import asyncio
import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIBRARIES = (
    "aiohttp.web", "asyncio", "httpx", "msgspec", "orjson", "prometheus_client", "purgatory", "pydantic_settings",
    "pymongo", "rich.console", "sqlite3", "structlog", "websockets.asyncio.client",
    "websockets.asyncio.server", "wsgiref.simple_server", "zstandard", "bytewax.operators", "bytewax.recovery",
    "anyio.to_thread", "certifi", "httpcore", "numpy", "polars", "rocksdict", "typer.rich_utils",
)  # fmt: skip
"""A fork loses the threads that they start at their import. Those of numpy and of memory are switched off by `_ALONE`;
what is left is one of polars that removes what queries have spilled to the disk, which none of ours does.
"""
OURS = (
    "api.app", "flows.backfill", "flows.command.app", "flows.graph", "flows.recovery", "flows.runtime.metrics",
    "flows.runtime.venue", "flows.verify", "sources.connection.websockets_transport",
)  # fmt: skip
"""With all that they import. What acts at its import, as `flows.main` does, is imported by the process itself."""
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "_RJEM_MALLOC_CONF": "background_thread:false"}
"""In the environment of the process that is forked, and not in that of any command."""
_LONGEST_REQUEST = 1 << 20
_NUMBER = struct.Struct("i")
"""How a process is told of: first its number, at last its exit code."""


class WarmProcess:
    """A process of a command, as `asyncio.subprocess.Process` has it."""

    def __init__(self, pid: int, status: socket.socket, stdout: asyncio.StreamReader | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._status = status
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(status, self._on_status)

    def _on_status(self) -> None:
        [code] = _NUMBER.unpack(self._status.recv(_NUMBER.size))
        asyncio.get_running_loop().remove_reader(self._status)
        self._status.close()
        self.returncode = code
        self._ended.set_result(code)

    async def wait(self) -> int:
        """Its exit code, negative for a signal."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it as the power does."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)


async def started(*arguments: str, cwd: Path, env: Mapping[str, str], out: Any = None) -> WarmProcess:
    """Starts `python -m` with these arguments; without `out`, a file, what it says is in its `stdout`."""
    reads, writes = (None, out.fileno()) if out else os.pipe()
    ours, theirs = socket.socketpair()
    with theirs:
        request = {"arguments": arguments, "cwd": str(cwd), "env": dict(env)}
        _hand_on(json.dumps(request).encode() + b"\n", [writes, theirs.fileno()])
    if reads is None:
        stdout = None
    else:
        os.close(writes)
        stdout = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(stdout)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(reads, "rb", 0))
    ours.setblocking(False)
    [pid] = _NUMBER.unpack(await asyncio.get_running_loop().sock_recv(ours, _NUMBER.size))
    return WarmProcess(pid, ours, stdout)


@contextmanager
def command_of_the_shell(folder: Path) -> Iterator[str]:
    """The beginning of a command line that is run as `python -m` with what follows; its socket is in `folder`."""
    path = folder / "warm"
    with socket.socket(socket.AF_UNIX) as front:
        front.bind(str(path))
        front.listen()
        thread = threading.Thread(target=_serve_the_shell, args=(front,), daemon=True)
        thread.start()
        yield shlex.join((sys.executable, "-I", str(Path(__file__).with_name("warm_client.py")), str(path)))
        front.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve_the_shell(front: socket.socket) -> None:
    while True:
        try:
            client, _ = front.accept()
        except OSError:  # it is shut
            return
        with client:
            line, streams = _received(client, 3)
            _hand_on(line, [*streams, client.fileno()])
            for stream in streams:
                os.close(stream)


def _hand_on(line: bytes, descriptors: Sequence[int]) -> None:
    """One request, with the streams of its process: its output, or all three; and where its number and its end go."""
    to = _server()
    sent = socket.send_fds(to, [line], descriptors)
    to.sendall(line[sent:])


@cache
def _server() -> socket.socket:
    """The process that is forked; it ends with this one."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.fakes.warm", str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | _ALONE | {"PYTHONPATH": str(ROOT)},
            pass_fds=[theirs.fileno()],
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# --- the process that is forked ---


def _serve(requests: socket.socket) -> None:
    """Forks for each request. Returns in the forked process when that is to run its command, and raises `SystemExit`
    when there are no more requests.
    """
    wakes, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    running: dict[int, int] = {}
    watched: list[socket.socket | int] = [requests, wakes]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if wakes in readable:
            os.read(wakes, 4_096)
            _tell_ends(running)
        if requests not in readable:
            continue
        request, (*streams, status) = _next_request(requests)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for number in (wakes, woken, requests.detach(), status, *running.values()):
                os.close(number)
            _become(request, streams)
            return
        for stream in streams:
            os.close(stream)
        os.write(status, _NUMBER.pack(pid))
        running[pid] = status


def _next_request(requests: socket.socket) -> tuple[dict[str, Any], list[int]]:
    line, descriptors = _received(requests, 4)
    if not line:
        sys.exit()
    return json.loads(line), descriptors


def _received(requests: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """A line and its descriptors; an empty one at the end."""
    line, descriptors, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, most)
    while line and not line.endswith(b"\n"):
        line += requests.recv(_LONGEST_REQUEST)
    return line, descriptors


def _tell_ends(running: dict[int, int]) -> None:
    while running:
        pid, state = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        status = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it
            os.write(status, _NUMBER.pack(os.waitstatus_to_exitcode(state)))
        os.close(status)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Takes on everything that a process of its own would have been given. `streams` are its input, its output and its
    errors, or one for both outputs.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    own = {0: streams[0], 1: streams[1], 2: streams[2]} if len(streams) > 1 else {1: streams[0], 2: streams[0]}
    for number, stream in own.items():
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = request["cwd"]
    sys.orig_argv[:] = [sys.executable, "-m", *request["arguments"]]
    sys.argv[:] = request["arguments"]
    import_module("flows.process.interrupts").end_on_interrupt()  # as each package of ours does at its import
    import_module("flows.process.loading").load_less()


def main() -> None:
    """Imports everything and serves; in a forked process, runs its command."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in LIBRARIES + OURS:
        import_module(name)
    gc.collect()
    gc.freeze()  # a process that is forked looks at none of it, and shares the memory
    _serve(requests)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
