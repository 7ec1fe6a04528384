"""How the process collects cyclic garbage: seldom, for what flows makes none."""

import gc


def tune_garbage_collector() -> None:
    """What is loaded by now stays for good, and need not be looked through again; what flows makes no cycles.

    Left alone, a full collection stops all threads for some fifty milliseconds every other second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
