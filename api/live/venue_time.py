"""The venue's time from the flow's heartbeats, one a second, and the age of the last one. Pure."""

from collections.abc import Callable
from typing import Final

from flows.clock import monotonic_ms

SET_BACK_MS: Final = 2_000
"""Local time for which all heartbeats must say an earlier time until it is believed: one that was delayed, or those
that waited while this process was halted, make nothing younger."""

TICK_S: Final = 0.2
"""Time between two ticks."""
LONGEST_TICK_MS: Final = 500
"""After a longer time without a tick this process was halted; what is beyond counts as no silence of the flow, whose
heartbeats may wait in a socket.
"""


class VenueTime:
    """Time of the newest heartbeat, advanced by the monotonic clock; market messages do not change it.

    It never stands still. A heartbeat that is unsure may set it forward, never back: the flow knows only afterwards how
    long it was halted, and this clock went on meanwhile. A sure one sets it forward at once, and back when all those of
    `SET_BACK_MS` agree. Until the first heartbeat, the newest stamp of a message is used instead.
    """

    def __init__(self, local_ms: Callable[[], int] = monotonic_ms) -> None:
        self._local_ms = local_ms
        self._offset: int | None = None
        self._heartbeat_ms: int | None = None
        self._began_ms = local_ms()
        self._ticked_ms: int | None = None
        self._halted_ms = 0
        """How long this process was halted since the last heartbeat."""
        self._has_heartbeats = False
        self._is_settled = False
        """A sure heartbeat was received since the start or reset."""
        self._earlier: tuple[int, int] | None = None
        """While the sure heartbeats say an earlier time: since when (local), and the largest offset of them."""
        self.is_sure = False
        """What the newest heartbeat said; False before the first."""

    def on_heartbeat(self, time_ms: int, *, is_sure: bool = True) -> None:
        """Takes the heartbeat's venue time, ms UTC; 0 when the flow does not know it."""
        local = self._heartbeat_ms = self._local_ms()
        self._count_from(local)
        self.is_sure = is_sure and time_ms > 0
        if not time_ms:
            return
        self._has_heartbeats = True
        offset = time_ms - local
        if self._offset is None or offset >= self._offset or (is_sure and not self._is_settled):
            self._offset, self._earlier = offset, None
        elif is_sure:
            self._take_earlier(local, offset)
        self._is_settled |= is_sure

    def _take_earlier(self, local: int, offset: int) -> None:
        since, largest = self._earlier or (local, offset)
        self._earlier = since, max(largest, offset)
        if local - since >= SET_BACK_MS:
            self._offset, self._earlier = self._earlier[1], None

    def on_stamp(self, stamp_ms: int) -> None:
        """Takes the hub's stamp of a message, ms UTC."""
        offset = stamp_ms - self._local_ms()
        if not self._has_heartbeats and (self._offset is None or offset > self._offset):
            self._offset = offset

    def forget_heartbeat(self) -> None:
        """Resets the heartbeat for a new flow; the venue's time goes on until its first sure one."""
        self._heartbeat_ms = self._earlier = None
        self._is_settled = self.is_sure = False
        self._began_ms = self._local_ms()
        self._count_from(self._began_ms)

    def tick(self) -> None:
        """Called every `TICK_S` while this process runs."""
        local = self._local_ms()
        self._halted_ms += self._halt_ms(local)
        self._ticked_ms = local

    def _count_from(self, local: int) -> None:
        self._halted_ms = 0
        if self._ticked_ms is not None:
            self._ticked_ms = local

    def _halt_ms(self, local: int) -> int:
        return 0 if self._ticked_ms is None else max(0, local - self._ticked_ms - LONGEST_TICK_MS)

    @property
    def now_ms(self) -> int:
        """The venue's time, ms UTC; 0 while unknown."""
        return 0 if self._offset is None else self._local_ms() + self._offset

    @property
    def silent_ms(self) -> int:
        """Time since the last heartbeat, or since the start or reset, on the monotonic clock, without that
        for which this process was halted.
        """
        local = self._local_ms()
        since = self._began_ms if self._heartbeat_ms is None else self._heartbeat_ms
        return local - since - self._halted_ms - self._halt_ms(local)

    @property
    def is_alive(self) -> bool:
        """Whether a heartbeat was received since the start or reset."""
        return self._heartbeat_ms is not None
