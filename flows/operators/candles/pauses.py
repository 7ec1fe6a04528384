"""Pauses of trading: because of the instrument's status, or because nothing at all arrives from the exchange."""

from flows.clock import Now

MOST_PAUSES = 100
"""Pauses that are remembered."""
STATUS = "status"
"""The reason that is the instrument's own status; other reasons are the names of silent lines."""
_NEVER = 1 << 62


class Pauses:
    """The pauses of one instrument, in the feed's time; the last one may have no end yet."""

    def __init__(self) -> None:
        self._times: list[tuple[int, int]] = []  # [begin, end)
        self._is_halt = False
        """Whether its status is among the reasons of the last pause: then that is a halt, whatever the lines did."""
        self.reasons: set[str] = set()
        """Why it does not trade now."""
        self._certain: set[str] = set()
        """Silent connections that bring messages all the time while the exchange works, with or without trades."""

    def begin(self, reason: str, time: int, *, is_certain: bool = False) -> None:
        """Empty periods from `time` on have no candles; those with trades have. A line that carries nothing but trades
        may be silent as nothing is traded; the silence of one that `is_certain` ends only with its next message.
        """
        if is_certain:
            self._certain.add(reason)
        if not self.reasons:
            self._times.append((time, _NEVER))
            del self._times[:-MOST_PAUSES]
            self._is_halt = False
        self.reasons.add(reason)
        self._is_halt = self._is_halt or reason == STATUS

    def end(self, reason: str, now: Now) -> None:
        """One of the reasons is gone."""
        self.reasons.discard(reason)
        if not self.reasons and self._times and self._times[-1][1] == _NEVER:
            begin, _ = self._times.pop()
            self._times.append((begin, max(begin, now.feed)))

    def reconnect(self, line: str, now: Now) -> None:
        """A line is subscribed anew: where its silence is certain, nothing has come of that yet."""
        if line not in self._certain:
            self.end(line, now)

    def resume(self, now: Now) -> None:
        """Something came: no line is silent any more."""
        if not self.reasons:
            return
        self._certain.clear()
        for line in self.reasons - {STATUS}:
            self.end(line, now)

    def end_silence(self, now: Now, *, are_trades_made: bool) -> None:
        """The venue has answered a query for later trades, so its silence was no pause of trading: that is forgotten,
        unless the status was a reason too. That it knows of none says nothing where the silence is certain.
        """
        if are_trades_made:
            self._certain.clear()
        silent_lines = self.reasons - {STATUS} - self._certain
        for reason in silent_lines:
            self.end(reason, now)
        if silent_lines and not (self._is_halt or self.reasons):
            self._times.pop()

    def hold(self, open_time: int, length: int) -> bool:
        """Whether the whole of a period lies in a pause."""
        return any(begin <= open_time and open_time + length <= end for begin, end in self._times)
