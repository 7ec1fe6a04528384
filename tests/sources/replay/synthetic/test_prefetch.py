import threading
from collections.abc import Iterator

import pytest

from sources.replay.synthetic.prefetch import Lazy, Prefetch

WAIT_S = 20


def test_the_items_come_in_their_order_and_end() -> None:
    assert list(Prefetch(iter(range(5)))) == [0, 1, 2, 3, 4]


def test_the_next_one_is_made_while_the_present_one_is_in_use() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    ahead = Prefetch(items())
    assert made[0].wait(WAIT_S), "the first one before anybody asks"
    assert not made[1].is_set()
    assert next(ahead) == 0
    assert made[1].wait(WAIT_S)
    assert not made[2].is_set()


def test_an_error_reaches_whoever_takes_the_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    ahead = Prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_a_thread_makes_what_is_needed_soon() -> None:
    made = threading.Event()

    def make() -> int:
        made.set()
        return 7

    soon = Lazy[int]("soon", is_wanted=True).result(make)
    assert made.wait(WAIT_S), "before anybody asks"
    assert soon() == 7


def test_whoever_needs_it_before_its_turn_makes_it() -> None:
    free, begun = threading.Event(), threading.Event()

    def make() -> threading.Thread:
        begun.set()
        free.wait(WAIT_S)
        return threading.current_thread()

    lazy = Lazy[threading.Thread]("soon", is_wanted=True)
    first = lazy.result(make)
    assert begun.wait(WAIT_S)
    second = lazy.result(threading.current_thread)
    try:
        assert second() is threading.current_thread()
    finally:
        free.set()
    assert first() is not threading.current_thread()


def test_the_first_that_is_wanted_begins_the_others() -> None:
    lazy = Lazy[int]("soon", is_wanted=False)
    made = threading.Event()

    def make() -> int:
        made.set()
        return 7

    others = lazy.result(make)
    one = lazy.result(lambda: 1)
    assert not made.wait(0.05)
    assert one() == 1
    assert made.wait(WAIT_S)
    assert others() == 7
