"""Tuning of the garbage collector: it runs rarely, as the data has no reference cycles."""

import gc


def keep_loaded() -> None:
    """Excludes all loaded objects from collections. Modules stay until the end, where a last collection of them would
    take longer than all else that an ending process does.
    """
    gc.freeze()


def tune_garbage_collector() -> None:
    """Excludes all loaded objects from collections and makes collections rare; the data has no reference cycles.

    Untuned, a full collection stops all threads for some fifty milliseconds every other second.
    """
    gc.collect()
    keep_loaded()
    gc.set_threshold(50_000, 20, 100)
