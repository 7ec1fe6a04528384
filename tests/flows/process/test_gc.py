import gc

from flows.process.gc import tune_garbage_collector


def test_what_is_loaded_is_not_looked_through_again_and_the_rest_seldom() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    loaded: list[list[int]] = [[] for _ in range(1_000)]
    try:
        tune_garbage_collector()
        assert gc.get_freeze_count() >= frozen + len(loaded)
        assert all(calm > usual for calm, usual in zip(gc.get_threshold(), (700, 10, 10), strict=True))
    finally:
        gc.set_threshold(*before)
