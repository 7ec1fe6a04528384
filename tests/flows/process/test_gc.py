import ctypes
import gc
import subprocess
import sys

import pytest

from flows.process.gc import tune_garbage_collector
from tests.fakes.deployment import ROOT


def test_what_is_loaded_is_not_looked_through_again_and_the_rest_seldom() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    loaded: list[list[int]] = [[] for _ in range(1_000)]
    try:
        tune_garbage_collector()
        assert gc.get_freeze_count() >= frozen + len(loaded)
        assert all(calm > usual for calm, usual in zip(gc.get_threshold(), (700, 10, 10), strict=True))
    finally:
        gc.set_threshold(*before)


MAPPED = """
import ctypes, sys
from flows.process.gc import LARGE_BYTES, tune_malloc
from tests.benchmarks.heap import _of_malloc

tune_malloc()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
for _ in range(2):  # without the option the first one that is freed raises the limit above the second
    before = _of_malloc()["malloc, mapped"]
    block = libc.malloc(LARGE_BYTES * 4)
    print(_of_malloc()["malloc, mapped"] - before >= LARGE_BYTES * 4 / 1e6)
    libc.free(ctypes.c_void_p(block))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_large_blocks_get_memory_of_their_own_each_time() -> None:
    said = subprocess.run([sys.executable, "-c", MAPPED], cwd=ROOT, capture_output=True, check=True, text=True)
    assert said.stdout == "True\nTrue\n"
