"""How long a channel may be silent. It is given the time, and asks for none."""

_QUIET_LIMIT = 16


class Patience:
    """Which channels of a connection have been silent for too long. Only data counts: replies and pings do not.

    A channel is one kind of stream on the connection, whatever the symbol, so a quiet instrument alarms nobody while
    its neighbours trade. A channel that stays silent after the connection was renewed for it, while others speak, is
    believed to be quiet: its patience doubles, up to sixteen times.
    """

    def __init__(
        self, channels: frozenset[bytes], stale_after_s: float, now_s: float, factors: dict[bytes, int] | None = None
    ) -> None:
        """`factors` remembers from life to life who was believed to be quiet."""
        self._stale_after_s = stale_after_s
        self._factor = {} if factors is None else factors
        self._last: dict[bytes, float] = {}
        self.follow(channels, now_s)
        self.heard: set[bytes] = set()
        """Channels heard since the last look; the reader adds to it."""

    def follow(self, channels: frozenset[bytes], now_s: float) -> None:
        """Other channels from now on; new ones get time to speak up."""
        self._last = {channel: self._last.get(channel, now_s) for channel in channels}
        for channel in channels:
            self._factor.setdefault(channel, 1)

    def begin(self, now_s: float) -> None:
        """A new connection: everyone gets time to speak up."""
        self.heard.clear()
        self._last = dict.fromkeys(self._last, now_s)

    def silent(self, now_s: float) -> list[bytes]:
        """Channels whose silence is too long now."""
        for channel in self.heard & self._last.keys():
            self._last[channel] = now_s
            self._factor[channel] = 1
        self.heard.clear()
        limit_s, factor = self._stale_after_s, self._factor
        stale = [channel for channel, last in self._last.items() if now_s - last > limit_s * factor[channel]]
        for channel in stale:
            self._factor[channel] = min(self._factor[channel] * 2, _QUIET_LIMIT)
        return sorted(stale)
