import threading
import time

import pytest

from flows.clock import GRAIN_MS, Timers
from sources.feed import ConnectionPlan, is_calm
from sources.waiting import SourceWorker, WakeEvent


class Waited:
    """A partition whose frames are said by hand."""

    idle_s = 30.0

    def __init__(self) -> None:
        self.calm = self.urgent = False

    def has_arrived(self) -> bool:
        return self.calm or self.urgent

    def is_urgent(self) -> bool:
        return self.urgent


def worker_with(partition: Waited, patience_s: float) -> SourceWorker:
    """One without the timers of other tests on this thread."""
    worker = SourceWorker(patience_s)
    worker._timers = Timers()
    worker.partitions.append(partition)
    return worker


def test_trades_cannot_wait_and_what_shows_a_state_can() -> None:
    kinds = (
        "aggTrade",
        "trade",
        "forceOrder",
        "contractInfo",
        "depth",
        "bookTicker",
        "ticker",
        "kline_1m",
        "markPrice",
    )
    assert [kind for kind in kinds if not is_calm(kind)] == ["aggTrade", "trade", "forceOrder", "contractInfo"]
    names = {"a@depth": ("A", "depth"), "a@aggTrade": ("A", "aggTrade")}
    plan = ConnectionPlan("market", "ws://x", {"A": ("depth", "aggTrade")}, names)
    assert (plan.calm, plan.can_wait) == (frozenset(("a@depth",)), False)
    assert ConnectionPlan("public", "ws://x", {"A": ("depth",)}, {"a@depth": ("A", "depth")}).can_wait
    assert not plan.emptied().can_wait


def test_what_can_wait_wakes_nobody_who_waits_for_what_cannot() -> None:
    event = WakeEvent()
    for takes_calm in (False, True):
        woken = threading.Event()

        def wait(*, takes_calm: bool = takes_calm, woken: threading.Event = woken) -> None:
            if event.wait(60, lambda: False, takes_calm=takes_calm):
                woken.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        for _ in range(0 if takes_calm else 10):
            event.set_calm()
            assert not woken.wait(0.01)
        while not woken.wait(0.01):
            (event.set_calm if takes_calm else event.set)()
        waiting.join()


def test_frames_that_can_wait_are_taken_together_when_the_patience_is_over() -> None:
    partition = Waited()
    worker = worker_with(partition, 0.3)
    partition.calm = True
    begin_s = time.monotonic()
    worker.note_taken()
    worker.wait()
    assert time.monotonic() - begin_s >= 0.29, "not at once"


@pytest.mark.parametrize("what", ["urgent", "after a pause", "of another source"])
def test_what_cannot_wait_and_what_comes_after_a_pause_is_taken_at_once(what: str) -> None:
    partition = Waited()
    worker = worker_with(partition, 3_600.0)
    worker.note_taken()
    if what == "urgent":
        partition.urgent = True
    elif what == "after a pause":
        partition.calm, worker._took_s = True, time.monotonic() - 3_601
    else:
        worker.others.append([1])
    partition.idle_s = 3_600.0
    worker.wait()  # else it would not return


def test_who_waits_knows_when_the_first_machine_is_due() -> None:
    now = [1_000]
    timers = Timers(lambda: now[0])
    grain = 1_000 // GRAIN_MS
    assert timers.next_in_s() > 1e9
    timers.move(None, grain + 5)
    timers.move(None, grain + 5)
    timers.move(None, grain + 9)
    assert timers.next_in_s() == 5 * GRAIN_MS / 1_000
    timers.move(grain + 5, grain + 20)
    assert timers.next_in_s() == 5 * GRAIN_MS / 1_000, "one of the two is still due then"
    timers.move(grain + 5, None)
    assert timers.next_in_s() == 9 * GRAIN_MS / 1_000
    now[0] += 10 * GRAIN_MS
    assert timers.next_in_s() < 0
    timers.move(grain + 9, None)
    timers.move(grain + 20, None)
    assert timers.next_in_s() > 1e9
