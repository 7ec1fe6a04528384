import queue
from collections import Counter

from flows.model import Incident
from sinks.buffered.buffer import BoundedBuffer
from sinks.buffered.outage import OutageWatch, StoreNames
from sinks.buffered.summary import Summary
from sinks.buffered.writer import BufferedWriter


class Numbers(BoundedBuffer[int]):
    def __init__(self) -> None:
        super().__init__(capacity=5)
        self.numbers: list[int] = []

    def __len__(self) -> int:
        return len(self.numbers)

    def put(self, numbers: list[int]) -> None:
        with self._changed:
            self.numbers += numbers
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.numbers, timeout_s)
            return not self._closed

    def _give_up(self) -> None:
        self._losses |= {number: number for number in self.numbers}
        self.numbers.clear()


class Store(BufferedWriter[int, Counter[str]]):
    """Takes numbers while it has `room`, and says `full` otherwise."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.lost: list[int] = []
        self.incidents: queue.Queue[Incident] = queue.Queue()
        self.numbers = Numbers()
        watch = OutageWatch(StoreNames("numbers", "the store", "x"), on_incident=self.incidents.put, first_retry_s=0.01)
        summary = Summary(Counter[str], print, interval_s=60)
        super().__init__(thread_name="numbers", buffer=self.numbers, outages=watch, summary=summary)
        self._start()

    def write(self, batch: list[int]) -> None:
        self.numbers.put(batch)

    def close(self) -> None:
        self._begin_close()
        self._thread.join()

    def _wait(self) -> bool:
        return self.numbers.wait(self._outages.pause_s or 60)

    def _write_due(self) -> tuple[bool, str]:
        taken, self.numbers.numbers = self.numbers.numbers[: self.room], self.numbers.numbers[self.room :]
        self.room -= len(taken)
        self._summary.count(Counter(stored=len(taken)))
        return not self.numbers.numbers, "full" if self.numbers.numbers else ""

    def _report_loss(self, loss: int) -> None:
        self.lost.append(loss)


def test_an_outage_begins_and_ends_and_nothing_is_lost() -> None:
    store = Store(room=1)
    store.write([1, 2])
    begun = store.incidents.get(timeout=5)
    assert (begun.cause, store.outage, store.held) == ("full", "full", 1)
    store.room = 5
    assert store.incidents.get(timeout=5).cause == "the store takes numbers again"
    store.resume([3])
    store.close()
    assert (store.outage, store.held, store.lost) == ("", 0, [])
    assert store.failures


def test_what_is_left_at_the_end_is_lost_within_a_bound() -> None:
    store = Store(room=1)
    store.write([1, 2, 3])
    store.close()
    assert (store.held, store.lost) == (0, [2, 3])
