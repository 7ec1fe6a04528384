"""What a heap says of the process that it looks into."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sinks.trades.store import TradeStore
from tests.benchmarks.heap import MEMTABLES, Heap, HeapProbe, grown, read
from tests.fakes.deployment import ROOT


class Kept:
    """Known to the garbage collector by its own name."""


def test_objects_are_counted_by_type_and_memory_by_its_holder(tmp_path: Path) -> None:
    with TradeStore(tmp_path / "trades"):
        probe = HeapProbe()
        kept = [Kept() for _ in range(200)]
        held = probe.look(with_objects=True)
        assert held.objects[f"{__name__}.Kept"] == len(kept)
        assert held.parts[MEMTABLES] > 0
        block = [bytes(400) for _ in range(100_000)]
        after = probe.look(with_objects=False)
        assert after.parts["Python, in use"] - held.parts["Python, in use"] == pytest.approx(43.2, rel=0.2)
        assert not after.objects
        del block
    assert MEMTABLES not in probe.look(with_objects=False).parts, "it is closed"


def test_what_other_threads_are_making_is_left_alone() -> None:
    stop, broken = threading.Event(), list[BaseException]()

    def make() -> None:
        try:
            while not stop.is_set():
                assert len(tuple(bytes(1) for _ in range(100))) == 100
        except BaseException as error:  # noqa: BLE001 - whatever it is
            broken.append(error)

    many: list[list[int]] = [[] for _ in range(200_000)]  # so that looking at all of them takes some time
    thread = threading.Thread(target=make)
    thread.start()
    probe = HeapProbe()
    for _ in range(5):
        probe.look(with_objects=True)
    stop.set()
    thread.join()
    assert (broken, len(many)) == ([], 200_000)


def test_a_module_runs_with_its_arguments_and_is_written_down(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import sys, time; print(sys.argv[1:], __name__); time.sleep(0.7)")
    path = tmp_path / "slow.heap"
    command = [sys.executable, "-m", "tests.benchmarks.heap", str(path), "0.05", "slow", "--one", "two"]
    said = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    assert said.stdout.decode() == "['--one', 'two'] __main__\n"
    heaps = read(path)
    assert heaps[0].objects["builtins.function"] > 100
    assert heaps[0].parts["system, RssAnon"] > 5


def test_what_grows_is_named_with_its_slope() -> None:
    heaps = [
        Heap(360.0 * n, {"malloc, in use": 10 + n}, {"a.Leak": 100 * n, "b.Flat": 7} if n % 2 == 0 else {})
        for n in range(9)
    ]
    assert grown(heaps) == [
        "malloc, in use: 10.0 MB ▶ 18.0 MB, +10.0 MB an hour",
        "a.Leak: 0 ▶ 800, +1000 an hour",
        "b.Flat: 7 ▶ 7, +0 an hour",
    ]
