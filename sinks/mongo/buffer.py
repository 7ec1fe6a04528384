"""Buffer between the flow's thread and the thread that writes candles: the newest version of each, and incidents.

Only the newest version is worth a write, so a newer version of a candle replaces one that waits.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeAlias

from msgspec import Struct

from flows.clock import monotonic_ms
from flows.model import (
    AccountRecord,
    AccountState,
    Balance,
    Candle,
    DerivativeRecord,
    Incident,
    MarkPrice,
    Position,
    Stats24h,
)
from flows.model.alerts import Alert
from sinks.buffered.buffer import BoundedBuffer

Storable: TypeAlias = Candle | Incident | Stats24h | DerivativeRecord | AccountRecord | Alert


class Loss(Struct):
    """Closed candles, incidents and records of derivatives of one instrument that were dropped."""

    venue: str
    symbol: str
    candles: int
    incidents: int
    begin: int
    """Least open time of the candles, or begin of the incidents, ms UTC."""
    end: int
    """Greatest of them."""
    records: int = 0
    """Settled funding, open interest, liquidations, alerts."""


class CandleBuffer(BoundedBuffer[Loss]):
    """Holds at most `capacity` candles and incidents, those being written included. No call waits for room.

    Closed candles, incidents and statistics are due at once, in the order in which they came; forming candles, and
    balances and positions that only the market's price has changed, all together, every `forming_ms` by `local_ms`. At
    the bound the oldest forming ones are dropped, as a newer version will follow; without any, the oldest of the
    others, which count as losses, except what the next minute brings anew.
    """

    def __init__(self, *, capacity: int, forming_ms: int, local_ms: Callable[[], int] = monotonic_ms) -> None:
        super().__init__(capacity)
        self._forming_ms = forming_ms
        self._local_ms = local_ms
        self._lasting: OrderedDict[Hashable, Storable] = OrderedDict()
        self._forming: OrderedDict[Hashable, Storable] = OrderedDict()
        self._forming_due_ms = local_ms()
        self._in_flight: dict[int, Storable] = {}
        self._forming_dropped = 0

    def __len__(self) -> int:
        return len(self._lasting) + len(self._forming) + len(self._in_flight)

    def put(self, items: Iterable[Storable]) -> bool:
        """Adds items; about a microsecond each. False when it is closed: nothing is added."""
        with self._changed:
            if self._closed:
                return False
            due_before = bool(self._lasting or self._forming)
            for item in items:
                self._keep_newest(item)
            self._trim()
            if self._lasting or not due_before:
                self._changed.notify_all()
            return True

    def _keep_newest(self, item: Storable) -> None:
        if not isinstance(item, Candle):
            self._keep_record(item)
            return
        key = _place(item)
        held = self._lasting.get(key)
        if not item.is_closed:
            if held is None:
                self._forming[key] = item
            return
        self._forming.pop(key, None)
        if not isinstance(held, Candle) or held.revision <= item.revision:
            self._lasting[key] = item

    def _keep_record(self, item: Storable) -> None:
        """What is no candle. What only the market's price has changed lasts where it replaces a report of the venue."""
        key = _place(item)
        if _is_computed(item) and key not in self._lasting:
            self._forming[key] = item
        else:
            self._forming.pop(key, None)
            self._lasting[key] = item

    def _trim(self) -> None:
        while len(self) > self.capacity:
            if self._forming:
                self._forming.popitem(last=False)
                self._forming_dropped += 1
            elif self._lasting:
                self._lose(self._lasting.popitem(last=False)[1])
            else:
                return

    def _lose(self, item: Storable) -> None:
        if isinstance(item, Stats24h | MarkPrice | AccountRecord):
            return  # the next minute, or the next report, brings newer ones
        is_candle, is_incident = isinstance(item, Candle), isinstance(item, Incident)
        time = item.open_time if isinstance(item, Candle) else item.begin if isinstance(item, Incident) else item.time
        place = item.venue, item.symbol
        loss = self._losses.setdefault(place, Loss(*place, 0, 0, time, time))
        loss.candles += is_candle
        loss.incidents += is_incident
        loss.records += not (is_candle or is_incident)
        loss.begin, loss.end = min(loss.begin, time), max(loss.end, time)

    def wait(self, pause_s: float = 0.0) -> bool:
        """Waits `pause_s`, or without a pause until something is due. False as soon as it is closed."""
        with self._changed:
            if pause_s:
                self._changed.wait_for(lambda: self._closed, pause_s)
            else:
                while not (self._closed or self._is_due()):
                    self._changed.wait(self._until_forming_s() if self._forming else None)
            return not self._closed

    def _is_due(self) -> bool:
        return bool(self._lasting) or (bool(self._forming) and self._until_forming_s() <= 0)

    def _until_forming_s(self) -> float:
        return (self._forming_due_ms - self._local_ms()) / 1_000

    def take(self, *, most: int) -> list[Storable]:
        """The items that are due: the oldest `most` that are final, then all forming candles if they are due or the
        buffer is closed. They count as held until they are settled or put back.
        """
        with self._changed:
            count = min(most, len(self._lasting))
            taken = [self._lasting.popitem(last=False)[1] for _ in range(count)]
            if self._forming and (self._closed or self._until_forming_s() <= 0):
                taken += self._forming.values()
                self._forming.clear()
                self._forming_due_ms = self._local_ms() + self._forming_ms
            self._in_flight.update((id(item), item) for item in taken)
            return taken

    def settle(self, items: Iterable[Storable]) -> None:
        """Releases taken items that are written."""
        with self._changed:
            for item in items:
                del self._in_flight[id(item)]

    def lasting(self) -> list[Storable]:
        """All that is held except forming candles, what is being written included."""
        with self._changed:
            in_flight = [item for item in self._in_flight.values() if not _is_forming(item)]
            return in_flight + list(self._lasting.values())

    def closed_candles(self) -> set[Hashable]:
        """The places of all closed candles that are held, those that are being written included."""
        with self._changed:
            held = [*self._lasting.values(), *self._in_flight.values()]
            return {_place(item) for item in held if isinstance(item, Candle) and item.is_closed}

    def put_back(self, items: list[Storable]) -> None:
        """Returns items that could not be written to the front, unless a newer version came meanwhile."""
        with self._changed:
            for item in reversed(items):
                del self._in_flight[id(item)]
                self._return(item)
            self._trim()

    def _return(self, item: Storable) -> None:
        key = _place(item)
        held = self._lasting.get(key)
        if not isinstance(item, Candle):
            if held is None and _is_computed(item):
                self._forming.setdefault(key, item)
            elif held is None:
                self._lasting[key] = self._forming.pop(key, item)
                self._lasting.move_to_end(key, last=False)
            return
        if not item.is_closed:
            if held is None:
                self._forming.setdefault(key, item)
        elif not isinstance(held, Candle) or held.revision < item.revision:
            self._forming.pop(key, None)
            self._lasting[key] = item
            self._lasting.move_to_end(key, last=False)

    def take_forming_dropped(self) -> int:
        """Number of forming versions dropped since the last call."""
        with self._changed:
            dropped, self._forming_dropped = self._forming_dropped, 0
            return dropped

    def _give_up(self) -> None:
        self._forming_dropped += len(self._forming)
        self._forming.clear()
        while self._lasting:
            self._lose(self._lasting.popitem(last=False)[1])


def _place(item: Storable) -> Hashable:
    """What the next version of an item has too."""
    match item:
        case Candle():
            return item.venue, item.symbol, item.timeframe, item.open_time
        case Balance() | Position() | AccountState():
            return type(item), item.key
        case _:
            return item


def _is_computed(item: Storable) -> bool:
    return isinstance(item, Balance | Position) and item.is_computed


def _is_forming(item: Storable) -> bool:
    """Whether a newer version follows, so that this one need not outlast the process."""
    return _is_computed(item) or (isinstance(item, Candle) and not item.is_closed)
