"""Buffer between the flow's thread and the thread that writes trades: a bounded queue of batches."""

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from flows.model import TradeBatch
from sinks.buffered.buffer import BoundedBuffer


class Loss(Struct):
    """Trades of one symbol that were dropped at a full buffer."""

    symbol: str
    trades: int
    first_id: int
    last_id: int
    begin: int
    """Time of the first, ms UTC."""
    end: int
    """Time of the last."""

    def include(self, batch: TradeBatch) -> None:
        """Adds a batch."""
        self.trades += len(batch.trades)
        self.first_id = min(self.first_id, batch.trades[0].id)
        self.last_id = max(self.last_id, batch.trades[-1].id)
        self.begin = min(self.begin, batch.trades[0].time)
        self.end = max(self.end, batch.trades[-1].time)


class TradeBuffer(BoundedBuffer[Loss]):
    """Holds at most `capacity` trades (plus the excess of one batch), those being written included.

    At the bound `put` waits for room while the store works, so a fast replay runs at the store's speed. While the store
    fails, or once the buffer is closed, it never waits: new batches are dropped and counted. So the newest trades are
    lost, which the exchange can still return.
    """

    def __init__(self, *, capacity: int) -> None:
        super().__init__(capacity)
        self._batches: deque[TradeBatch] = deque()
        self._taken: list[TradeBatch] = []
        self._held = 0
        self._accepted = 0
        self._stored = 0
        self._failing = False
        self._flushing = False

    def __len__(self) -> int:
        return self._held

    def put(self, batches: Iterable[TradeBatch]) -> None:
        """Adds batches; called from the flow's thread."""
        with self._changed:
            for batch in batches:
                if not self._has_room():
                    self._lose(batch)
                elif batch.trades:
                    self._batches.append(batch)
                    self._held += len(batch.trades)
                    self._accepted += len(batch.trades)

    def _has_room(self) -> bool:
        if self._held >= self.capacity:
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._failing or self._closed or self._held < self.capacity)
        return self._held < self.capacity and not self._closed

    def _lose(self, batch: TradeBatch) -> None:
        if not batch.trades:
            return
        if batch.symbol not in self._losses:
            first = batch.trades[0]
            self._losses[batch.symbol] = Loss(batch.symbol, 0, first.id, first.id, first.time, first.time)
        self._losses[batch.symbol].include(batch)

    def wait(self, timeout_s: float) -> bool:
        """Waits until it is time to write: after `timeout_s`, or when the buffer is full, to be flushed, or closed.
        False when it is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._urgent() or self._closed, timeout_s)
            return not self._closed

    def _urgent(self) -> bool:
        return not self._failing and (self._flushing or self._held >= self.capacity)

    def take(self, *, most_trades: int) -> list[TradeBatch]:
        """The oldest batches, at least one and then up to `most_trades`; they count as held until `settle`."""
        with self._changed:
            taken: list[TradeBatch] = []
            count = 0
            while self._batches and (not taken or count + len(self._batches[0].trades) <= most_trades):
                taken.append(self._batches.popleft())
                count += len(taken[-1].trades)
            self._taken += taken
            return taken

    def put_back(self, batches: list[TradeBatch], *, failing: bool) -> None:
        """Returns all that was taken and could not be written. With `failing` the store is not expected to take it
        soon.
        """
        with self._changed:
            self._taken.clear()
            self._batches.extendleft(reversed(batches))
            self._failing = failing
            self._changed.notify_all()

    def settle(self, trades: int) -> None:
        """All that was taken, `trades` of them, is durable."""
        with self._changed:
            self._taken.clear()
            self._held -= trades
            self._stored += trades
            self._failing = False
            self._flushing = self._flushing and self._stored < self._accepted
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that was put before is stored; False after `timeout_s`."""
        with self._changed:
            target = self._accepted
            self._flushing = self._stored < target
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._stored >= target, timeout_s)

    def pending(self, timeout_s: float) -> list[TradeBatch]:
        """What is held, after up to `timeout_s` for writing it; it does not wait while the store fails."""
        with self._changed:
            is_failing = self._failing
        if not is_failing and self.flush(timeout_s):
            return []
        with self._changed:
            return [*self._taken, *self._batches]

    def _give_up(self) -> None:
        while self._batches:
            batch = self._batches.popleft()
            self._held -= len(batch.trades)
            self._lose(batch)
