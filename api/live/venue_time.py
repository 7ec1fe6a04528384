"""The venue's time from the flow's heartbeats, one a second, and the age of the last one. Pure."""

from collections.abc import Callable

from flows.clock import monotonic_ms


class VenueTime:
    """Time of the newest heartbeat, advanced by the monotonic clock; market messages do not change it.

    Until the first heartbeat, the newest stamp of a message is used instead.
    """

    def __init__(self, local_ms: Callable[[], int] = monotonic_ms) -> None:
        self._local_ms = local_ms
        self._offset: int | None = None
        self._heartbeat_ms: int | None = None
        self._began_ms = local_ms()
        self._has_heartbeats = False

    def on_heartbeat(self, time_ms: int) -> None:
        """Takes the heartbeat's venue time, ms UTC; 0 when the flow does not know it."""
        self._heartbeat_ms = self._local_ms()
        if time_ms:
            self._has_heartbeats = True
            self._offset = time_ms - self._heartbeat_ms

    def on_stamp(self, stamp_ms: int) -> None:
        """Takes the hub's stamp of a message, ms UTC."""
        offset = stamp_ms - self._local_ms()
        if not self._has_heartbeats and (self._offset is None or offset > self._offset):
            self._offset = offset

    def forget_heartbeat(self) -> None:
        """Resets the heartbeat for a new flow; the venue's time goes on."""
        self._heartbeat_ms = None
        self._began_ms = self._local_ms()

    @property
    def now_ms(self) -> int:
        """The venue's time, ms UTC; 0 while unknown."""
        return 0 if self._offset is None else self._local_ms() + self._offset

    @property
    def silent_ms(self) -> int:
        """Time since the last heartbeat, or since the start or reset, on the monotonic clock."""
        return self._local_ms() - (self._began_ms if self._heartbeat_ms is None else self._heartbeat_ms)

    @property
    def is_alive(self) -> bool:
        """Whether a heartbeat was received since the start or reset."""
        return self._heartbeat_ms is not None
