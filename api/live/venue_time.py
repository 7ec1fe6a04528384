"""What time it is at a venue, as the flow tells it once a second, and how long ago it last did. Pure."""

from collections.abc import Callable

from flows.clock import monotonic_ms


class VenueTime:
    """The time of the newest heartbeat, carried forward by the monotonic clock: no message of the market moves it.

    A hub that tells of no heartbeats is taken by the newest stamp of its messages, until a heartbeat comes.
    """

    def __init__(self, local_ms: Callable[[], int] = monotonic_ms) -> None:
        self._local_ms = local_ms
        self._offset: int | None = None
        self._heartbeat_ms: int | None = None
        self._began_ms = local_ms()
        self._has_heartbeats = False

    def on_heartbeat(self, time_ms: int) -> None:
        """The flow is alive, and says what time it is, ms UTC; 0 when it does not know."""
        self._heartbeat_ms = self._local_ms()
        if time_ms:
            self._has_heartbeats = True
            self._offset = time_ms - self._heartbeat_ms

    def on_stamp(self, stamp_ms: int) -> None:
        """The hub has stamped a message, ms UTC."""
        offset = stamp_ms - self._local_ms()
        if not self._has_heartbeats and (self._offset is None or offset > self._offset):
            self._offset = offset

    def forget_heartbeat(self) -> None:
        """What came before says nothing of the flow that is there now; the time goes on."""
        self._heartbeat_ms = None
        self._began_ms = self._local_ms()

    @property
    def now_ms(self) -> int:
        """The venue's time, ms UTC; 0 as long as nothing has said it."""
        return 0 if self._offset is None else self._local_ms() + self._offset

    @property
    def silent_ms(self) -> int:
        """Time since the last heartbeat, or since it was listened for, on this machine's monotonic clock."""
        return self._local_ms() - (self._began_ms if self._heartbeat_ms is None else self._heartbeat_ms)

    @property
    def is_alive(self) -> bool:
        """Whether a heartbeat has come at all."""
        return self._heartbeat_ms is not None
