"""Runs the processes of a deployment until it is asked to end: each that ends is started again, the others go on.

One thread waits for everything (output, signals, times), as a child does not outlive the thread that started it.
"""

import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from flows.process.disk import disk_full, is_no_room
from flows.process.exit_codes import CANNOT_RUN, TRY_AGAIN
from flows.process.free_ports import is_taken
from flows.supervision.ends import SIGNALLED, describe_end, is_refusal
from flows.supervision.known import remember
from flows.supervision.lock import AlreadyRunningError, Claim, claim
from flows.supervision.needs import LOOK_S, Needs
from flows.supervision.notify import WATCHDOG, Notifier, without_notifications
from flows.supervision.orphans import bury_orphans
from flows.supervision.output import Output
from flows.supervision.process import Process
from flows.supervision.restarts import FIRST_STARTS
from flows.supervision.spec import ProcessSpec
from flows.supervision.stopping import LEAVE_S, signals_due

__all__ = ["ProcessSpec", "supervise"]

CANNOT_START: Final = 1
"""Exit code when another instance works in the folder, or the folder cannot be used."""
STDOUT: Final = 1
TICK_S: Final = 0.5
"""Longest time between two looks at everything."""
FREED_S: Final = 5.0
"""Longest wait for a port: what a killed supervisor had started here ends by itself, and may still have it."""
READY_S: Final = 5.0
"""All processes have run for this long: the deployment is ready. Most that cannot run have said so by then."""
SECOND_S: Final = 0.5
"""A second signal kills what still runs; not one of the same moment, which `make` or a shell passes on."""
LAST_WORDS_S: Final = 0.5
"""Longest wait for a slow reader at the end."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SEE: Final = 'see its last lines above, and "Troubleshooting" in docs/operations.md'


def supervise(
    specs: Sequence[ProcessSpec],
    *,
    folder: Path,
    anew: bool = False,
    colour: bool | None = None,
    greeting: str = "",
    variables: Mapping[str, str] | None = None,
) -> int:
    """Runs processes in the current directory, from the main thread, until a signal ends them. Returns the exit code:
    128 and the number of the signal; that of SIGPIPE when nothing reads the output any more; of a process that cannot
    run, its own; 78 when a port that one needs is taken, before anything is started, and 75 when the disk is full; 1
    when another instance works in `folder`. In these cases it is left as it is.

    With `anew` the folder is emptied first. `colour` None: on a terminal. `greeting` is printed before anything else.
    By `variables`, which are kept in the folder, other commands find the deployment.
    """
    try:
        lock = _claimed(folder, variables or {}, specs, anew=anew)
    except AlreadyRunningError as error:
        return _refuse(str(error))
    except _PortTakenError as error:
        return _refuse(str(error), CANNOT_RUN)
    except OSError as error:
        return _refuse_folder(folder, error)
    with lock, suppress(BrokenPipeError):
        sys.stdout.flush()
        if colour is None:
            colour = os.isatty(STDOUT) and not os.environ.get("NO_COLOR")
        output = Output(STDOUT, [spec.name for spec in specs], colour=colour)
        output.put_raw(greeting.encode())
        return _Supervisor(specs, output).run()
    return SIGNALLED + signal.SIGPIPE


class _PortTakenError(Exception):
    """A port that a process needs is taken; the text says what to do."""


def _claimed(folder: Path, variables: Mapping[str, str], specs: Sequence[ProcessSpec], *, anew: bool) -> Claim:
    """The folder for this process alone, with the variables in it, once all ports are free."""
    lock = claim(folder)
    try:
        _need_ports(specs, time.monotonic() + FREED_S)
        if anew:
            shutil.rmtree(folder, ignore_errors=True)
        remember(folder, variables)
    except (OSError, _PortTakenError):
        lock.close()
        raise
    return lock


def _need_ports(specs: Sequence[ProcessSpec], until_s: float) -> None:
    """Waits until the ports of all processes are free. `_PortTakenError` when one is not in time."""
    for spec in specs:
        for key, host, port in spec.listens:
            while port and is_taken(host, port):
                if time.monotonic() >= until_s:
                    remedy = f"end what listens there, or choose another by {key}"
                    raise _PortTakenError(f"{key}: port {port} of {host} is taken: {remedy}")
                time.sleep(LOOK_S)


def _refuse(reason: str, code: int = CANNOT_START) -> int:
    sys.stderr.write(f"marketflow: {reason}\n")
    return code


def _refuse_folder(folder: Path, error: OSError) -> int:
    if is_no_room(error):
        return _refuse(disk_full(folder), TRY_AGAIN)
    if not error.filename:
        return _refuse(str(error.strerror))
    return _refuse(f"{folder} cannot be used: {error.filename}: {error.strerror}: name another folder by --folder")


class _Supervisor:
    def __init__(self, specs: Sequence[ProcessSpec], output: Output) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._notifier = Notifier(environment)
        without_notifications(environment)
        self._processes = [Process(spec, environment) for spec in specs]
        self._output = output
        self._needs = Needs(specs, say=output.say)
        self._signals: list[tuple[int, float]] = []
        self._ending_since_s: float | None = None
        self._asked: dict[str, float] = {}
        self._killed: set[str] = set()
        self._code = 0
        self._notify_s = 0.0
        self._is_init = os.getpid() == 1

    def run(self) -> int:
        with _wakened_by_signals(self._on_signal) as wakeup:
            while True:
                now_s = time.monotonic()
                self._end_or_start(now_s)
                if self._ending_since_s is not None and self._has_ended(now_s - self._ending_since_s):
                    break
                self._notify(now_s)
                self._wait(now_s, wakeup)
                now_s = time.monotonic()
                for process in self._processes:
                    self._look(process, now_s)
                if self._is_init:
                    bury_orphans([process.pid for process in self._processes])
                self._output.look()
                if self._output.is_lost:
                    self._begin_to_end(SIGNALLED + signal.SIGPIPE, now_s)
        self._output.finish(LAST_WORDS_S)
        return self._code

    def _has_ended(self, ending_s: float) -> bool:
        """Whether nothing runs any more, or what still does is killed and only not removed yet."""
        running = [process.name for process in self._processes if process.pid]
        if running and ending_s >= LEAVE_S:
            self._output.say(f"the system is busy, and has not removed what is killed: {', '.join(running)}")
            return True
        return not running

    def _on_signal(self, number: int) -> None:
        if number in _ENDING:
            self._signals.append((number, time.monotonic()))

    def _end_or_start(self, now_s: float) -> None:
        if self._signals:
            number, first_s = self._signals[0]
            self._begin_to_end(SIGNALLED + number, now_s)
            if any(at_s - first_s > SECOND_S for number, at_s in self._signals if number != signal.SIGHUP):
                for process in self._processes:
                    process.send(signal.SIGKILL)
        if self._ending_since_s is not None:
            self._end(self._ending_since_s, now_s)
            return
        for process in self._processes:
            if process.due_s is not None and process.due_s <= now_s and self._needs.are_met(process, now_s):
                self._start(process, now_s)

    def _end(self, begun_s: float, now_s: float) -> None:
        running = {process.name: process for process in self._processes if process.pid}
        for name, number in signals_due(list(running), self._asked, begun_s=begun_s, now_s=now_s):
            if number == signal.SIGKILL and name not in self._killed:
                self._killed.add(name)
                self._output.say(f"{name} has not ended in time, so it is killed")
            self._asked[name] = now_s
            running[name].send(number)

    def _begin_to_end(self, code: int, now_s: float) -> None:
        if self._ending_since_s is None:
            self._ending_since_s, self._code = now_s, code
            self._notifier.send("STOPPING=1")
            for process in self._processes:
                process.is_wanted = False

    def _start(self, process: Process, now_s: float) -> None:
        try:
            process.start(now_s)
        except OSError as error:  # no memory, or too many processes
            self._on_end(process, 1, f"cannot be started ({error.strerror})", now_s)
            return
        if process.runs:
            self._say_started(process)

    def _say_started(self, process: Process) -> None:
        again = f", start {process.restarts.starts}" if process.restarts.starts > 1 else ""
        self._output.say(f"{process.name} is started (pid {process.pid}{again})")

    def _look(self, process: Process, now_s: float) -> None:
        for line in process.read():
            self._output.put(process.name, line)
        code, lines = process.poll(now_s)
        for line in lines:
            self._output.put(process.name, line)
        if code is not None:
            self._on_end(process, code, describe_end(code), now_s)

    def _on_end(self, process: Process, code: int, how: str, now_s: float) -> None:
        name = process.name
        if self._ending_since_s is not None:
            return
        wait_s = process.restarts.on_end(code, now_s)
        if wait_s is not None:
            process.due_s = now_s + wait_s
            self._output.say(f"{name} {how}; it is started again in {wait_s:g} s")
            return
        why = "it cannot run as it is configured" if is_refusal(code) else f"{FIRST_STARTS} starts have failed"
        self._output.say(f"{name} {how}: {why}, so all others are ended; {_SEE}")
        self._begin_to_end(code or CANNOT_START, now_s)

    def _notify(self, now_s: float) -> None:
        """Tells systemd that it is ready, once, and that all is well while all processes run."""
        if self._ending_since_s is not None:
            return
        running = [process for process in self._processes if process.runs]
        if len(running) < len(self._processes):
            missing = ", ".join(process.name for process in self._processes if not process.runs)
            self._notifier.send(f"STATUS=not running: {missing}")
        elif all(now_s - process.begun_s >= READY_S for process in running):
            self._notifier.send("READY=1", "STATUS=all processes run")
        if self._notifier.interval_s is not None and now_s >= self._notify_s and len(running) == len(self._processes):
            self._notify_s = now_s + self._notifier.interval_s
            self._notifier.send(WATCHDOG)

    def _wait(self, now_s: float, wakeup: socket.socket) -> None:
        """Waits for output, a signal, or the next time at which something is to be done."""
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        for process in self._processes:
            if process.descriptor is not None:
                poll.register(process.descriptor, select.POLLIN)
        if self._output.has_waiting:
            poll.register(self._output.descriptor, select.POLLOUT)
        due = [max(process.due_s - now_s, LOOK_S) for process in self._processes if process.due_s is not None]
        if self._ending_since_s is not None:
            due = [TICK_S / 10]
        poll.poll(max(0.0, min([TICK_S, *due])) * 1_000)
        with suppress(BlockingIOError):
            wakeup.recv(4_096)
        self._output.write()


@contextmanager
def _wakened_by_signals(on_signal: Callable[[int], None]) -> Iterator[socket.socket]:
    """Calls `on_signal` for each signal that matters; yields a socket that is readable as soon as one has come."""

    def handle(number: int, _: FrameType | None) -> None:
        on_signal(number)

    receiver, sender = socket.socketpair()
    with receiver, sender:
        receiver.setblocking(False)
        sender.setblocking(False)
        before = {number: signal.signal(number, handle) for number in (*_ENDING, signal.SIGCHLD)}
        before_fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            yield receiver
        finally:
            signal.set_wakeup_fd(before_fd)
            for number, handler in before.items():
                signal.signal(number, handler)
