import gc

from flows.process.gc import tune_garbage_collector


def test_what_is_loaded_is_not_looked_through_again_and_the_rest_seldom() -> None:
    before = gc.get_threshold()
    try:
        tune_garbage_collector()
        assert gc.get_freeze_count() > 0
        assert all(calm > usual for calm, usual in zip(gc.get_threshold(), (700, 10, 10), strict=True))
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
