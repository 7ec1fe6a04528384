"""When the server pings a client, and when it ends the connection: pong timeout or greatest age. Pure."""

from enum import Enum

from sources.replay.exchange.limits import Limits


class Upkeep(Enum):
    """What a connection is due for."""

    PING = "ping"
    CUT = "cut"
    """A ping stayed unanswered."""
    EXPIRE = "expire"
    """The connection has reached its greatest age."""


class KeepAlive:
    """Pings and pongs of one connection. Times are seconds of one monotonic clock.

    Only a pong that echoes a ping's payload keeps a connection alive; an unsolicited one does nothing. At most
    `pong_within_s / ping_every_s` pings are open at a time, as the oldest of them ends the connection.
    """

    __slots__ = ("_expires_s", "_limits", "_next_ping_s", "_open")

    def __init__(self, limits: Limits, *, opened_s: float) -> None:
        self._limits = limits
        self._expires_s = opened_s + limits.life_s
        self._next_ping_s = opened_s + limits.ping_every_s
        self._open: dict[bytes, float] = {}

    @property
    def next_s(self) -> float:
        """When to call `due` next, s."""
        return min(self._expires_s, self._next_ping_s, self._deadline_s())

    def due(self, now_s: float) -> Upkeep | None:
        """The action that is due at `now_s`, if any."""
        if now_s >= self._deadline_s():
            return Upkeep.CUT
        if now_s >= self._expires_s:
            return Upkeep.EXPIRE
        return Upkeep.PING if now_s >= self._next_ping_s else None

    def on_ping(self, payload: bytes, now_s: float) -> None:
        """A ping was sent."""
        self._open[payload] = now_s
        self._next_ping_s = now_s + self._limits.ping_every_s

    def on_pong(self, payload: bytes) -> None:
        """A pong arrived: the ping it answers and all before it are settled."""
        if payload not in self._open:
            return
        for sent in list(self._open):
            del self._open[sent]
            if sent == payload:
                return

    def _deadline_s(self) -> float:
        oldest = next(iter(self._open.values()), None)
        return float("inf") if oldest is None else oldest + self._limits.pong_within_s
