"""What the memory of a process is made of, as it goes on.

    python -m tests.benchmarks.heap FILE SECONDS MODULE [ARGUMENT …]

runs a module as `python -m` does, and a thread beside it that appends a line to the file every so many seconds: what
the system counts, and what of it malloc, Python and RocksDB hold; each `OBJECTS_EVERY` lines also how many objects
there are of each type.
"""

import ctypes
import gc
import os
import runpy
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from rocksdict import DbClosedError, Rdict

from sinks.trades.store import TradeStore
from tests.benchmarks.trend import slope

OBJECTS_EVERY: Final = 6
"""Lines; counting all objects holds the interpreter for as long as it takes."""
MEMTABLES: Final = "RocksDB, memtables"
"""What is written and not yet in a file: it grows to the size of a write buffer and begins anew."""
_MB = 1e6
_KEPT_TYPES = 400
_NAMED = 15
_LEAST_LINES = 3
_ROCKSDB = {
    MEMTABLES: "rocksdb.cur-size-all-mem-tables",
    "RocksDB, tables": "rocksdb.estimate-table-readers-mem",
    "RocksDB, cache": "rocksdb.block-cache-usage",
}
_PYTHON = {"# bytes in allocated blocks": "Python, in use", "# bytes in available blocks": "Python, free"}


class Heap(Struct, frozen=True):
    """At one moment; MB, but for the counts."""

    s: float
    """Seconds since the begin."""
    parts: dict[str, float]
    objects: dict[str, int]
    """By type: those that the garbage collector knows. Empty when they were not counted."""


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


class HeapProbe:
    """Looks at the process that it is in."""

    def __init__(self) -> None:
        self._begin_s = time.monotonic()
        self._databases: list[Rdict] = []

    def look(self, *, with_objects: bool) -> Heap:
        """As it is now. Databases opened since the last look with objects are not in it."""
        objects = self._objects() if with_objects else {}
        parts = _of_system() | _of_malloc() | _of_python() | _of_rocksdb(self._databases)
        return Heap(time.monotonic() - self._begin_s, parts, objects)

    def _objects(self) -> dict[str, int]:
        counts = Counter(map(_name_of, _each_object(map, type)))
        # The garbage collector does not know a database, but what has it.
        self._databases = [each._db for each in _each_object(filter, TradeStore.__instancecheck__)]
        return dict(counts.most_common(_KEPT_TYPES))


def _each_object(select: Callable[..., Iterable[Any]], by: Callable[[Any], Any]) -> list[Any]:
    """`select(by, objects)` of all objects that the garbage collector knows; `by` must be written in C.

    In one call, within which no other thread runs: the list of all objects has those that are being made, and a tuple
    that somebody else has, too, cannot be made longer (a `SystemError` in the thread that makes it).
    """
    return list(select(by, chain.from_iterable(map(gc.get_objects, (None,)))))


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _of_system() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines if line.startswith(("RssAnon", "RssFile")))
    return {f"system, {name}": int(text.split()[0]) * 1_024 / _MB for name, text in sizes.items()}


def _of_malloc() -> dict[str, float]:
    """Of all its arenas. What is free in them is resident, too, unless it was given back."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return {
        "malloc, in use": info.uordblks / _MB,
        "malloc, free": info.fordblks / _MB,
        "malloc, mapped": info.hblkhd / _MB,
    }


def _of_python() -> dict[str, float]:
    """Of the allocator of small objects, which has its memory from the system directly."""
    libc = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    with tempfile.TemporaryFile() as file:
        stream = ctypes.c_void_p(libc.fdopen(os.dup(file.fileno()), b"w"))
        ctypes.pythonapi._PyObject_DebugMallocStats(stream)
        libc.fclose(stream)
        file.seek(0)
        text = file.read().decode()
    said = (line.rsplit("=", 1) for line in text.splitlines() if "=" in line)
    numbers = {name.strip(): value.replace(",", "") for name, value in said}
    return {label: int(numbers[name]) / _MB for name, label in _PYTHON.items()}


def _of_rocksdb(databases: Iterable[Rdict]) -> dict[str, float]:
    found: Counter[str] = Counter()
    for database in databases:
        with suppress(DbClosedError):  # meanwhile
            for label, key in _ROCKSDB.items():
                found[label] += (database.property_int_value(key) or 0) / _MB  # type: ignore[assignment]
    return dict(found)


def read(path: Path) -> list[Heap]:
    """What a process has written so far."""
    lines = path.read_bytes().split(b"\n")[:-1]  # the last one may be half written
    return [msgspec.json.decode(line, type=Heap) for line in lines]


def grown(heaps: Sequence[Heap]) -> list[str]:
    """What grew in that time, for people: each part's slope in MB an hour, and the types whose objects became more."""
    counted = [heap for heap in heaps if heap.objects]
    if len(heaps) < _LEAST_LINES or len(counted) < _LEAST_LINES:
        return []

    def each_hour(of: Sequence[Heap], name: str) -> float:
        return slope([heap.s / 3_600 for heap in of], [(heap.parts | heap.objects).get(name, 0) for heap in of]).each

    first, last = heaps[0].parts, heaps[-1].parts
    lines = [
        f"{name}: {first.get(name, 0):.1f} MB ▶ {held:.1f} MB, {each_hour(heaps, name):+.1f} MB an hour"
        for name, held in last.items()
    ]
    slopes = {name: each_hour(counted, name) for name in counted[-1].objects}
    steepest = sorted(slopes, key=lambda name: -abs(slopes[name]))[:_NAMED]
    before, after = counted[0].objects, counted[-1].objects
    return lines + [f"{name}: {before.get(name, 0)} ▶ {after[name]}, {slopes[name]:+.0f} an hour" for name in steepest]


def _keep_writing(path: Path, every_s: float) -> None:
    probe = HeapProbe()
    with path.open("ab", 0) as file:
        for number in count(1):
            time.sleep(every_s)
            file.write(msgspec.json.encode(probe.look(with_objects=number % OBJECTS_EVERY == 1)) + b"\n")


def main(argv: Sequence[str]) -> None:
    """Runs the module, with the arguments that follow."""
    path, every_s, *sys.argv = argv
    threading.Thread(target=_keep_writing, args=(Path(path), float(every_s)), daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
