"""Which streams have fallen silent, by the pace at which their messages usually come. No I/O; the time is an argument.

A stream is silent when nothing has come for some multiple of the longest pause that it usually makes. So a stream with
ten messages a second is missed after seconds, and one with a message every twenty minutes is left alone.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

LEAST_S: Final = 3.0
"""Shortest pause that is a silence, however fast the pace."""
MOST_S: Final = 24 * 3_600.0
"""Longest patience, and longest time between two renewals of a stream that stays silent."""
MULTIPLE: Final = 3.0
"""How many times its longest usual pause a stream may be silent; twice that while few pauses are known."""
ENOUGH: Final = 8
"""Pauses after which a stream has shown its pace."""
A_FEW: Final = 3
"""Pauses after which a silence that is much longer is worth a new connection."""
BLOCK: Final = 128
"""The longest pause is that of the last one to two blocks of so many; older ones are forgotten."""
REPEATS: Final = 5
"""A stream that has shown its pace and then was silent so many times, in times not much longer than that, has another
pace now. A single silence proves nothing: it may be an outage.
"""
RENEW_FACTOR: Final = 4
"""Each time that a stream stays silent although it was renewed, the next renewal is so many times as far away."""
RECONNECT_LIMIT: Final = 16
"""The time between two reconnections of a line that stays silent doubles, up to so many times."""
STEP_S: Final = 1.0
"""Most that counts of the time between two looks: without a look, no message is noticed either."""


class Pace:
    """The pauses of one stream, or of a whole line, and how long it may be silent."""

    __slots__ = ("_before_s", "_gaps", "_longest_s", "_start_s", "_surprised_s", "_surprises", "last_s", "patience_s")

    def __init__(self, start_s: float, now_s: float) -> None:
        """`start_s` is its patience until it has shown its pace."""
        self._start_s = start_s
        self._gaps = 0
        self._longest_s = 0.0
        self._before_s = 0.0
        self._surprises = 0
        self._surprised_s = 0.0
        self.last_s = now_s
        """Time of its newest message, or of the begin of the watch."""
        self.patience_s = start_s

    @property
    def is_known(self) -> bool:
        """Whether it has shown its pace."""
        return self._gaps >= ENOUGH

    @property
    def has_messages(self) -> bool:
        """Whether a message ever came."""
        return self._gaps > 0

    def is_faster_than(self, pause_s: float) -> bool:
        """Whether its pauses, as far as they are known, are not longer than that."""
        return self._gaps >= A_FEW and self.longest_s <= pause_s

    @property
    def longest_s(self) -> float:
        """Its longest usual pause."""
        return max(self._longest_s, self._before_s)

    def is_overdue(self, now_s: float) -> bool:
        """Whether it has been silent for too long."""
        return now_s - self.last_s >= self.patience_s

    def on_message(self, now_s: float) -> None:
        """A message has come."""
        gap_s, self.last_s = now_s - self.last_s, now_s
        if gap_s >= self.patience_s and self.is_known and not self._is_repeated(gap_s, now_s):
            return
        self._gaps += 1
        if self._gaps % BLOCK == 0:
            self._before_s, self._longest_s = self._longest_s, gap_s
        self._longest_s = max(self._longest_s, gap_s)
        self.patience_s = self._learned()

    def _is_repeated(self, gap_s: float, now_s: float) -> bool:
        """Whether such silences have become usual."""
        is_near = now_s - self._surprised_s <= 20 * gap_s
        self._surprises = self._surprises + 1 if is_near else 1
        self._surprised_s = now_s
        return self._surprises >= REPEATS

    def _learned(self) -> float:
        longest_s, least_s = self.longest_s, min(LEAST_S, self._start_s)
        multiple = MULTIPLE * (1 + ENOUGH / max(self._gaps, ENOUGH))
        patience_s = min(max(multiple * longest_s, least_s), MOST_S)
        if not self.is_known:
            return max(patience_s, self._start_s)
        is_fast = longest_s <= self._start_s / 4
        return min(patience_s, self._start_s) if is_fast else patience_s


class Findings(NamedTuple):
    """What a look has found; streams in the order in which they are carried."""

    silent: list[str]
    """They have become silent, or are named again because nothing at all comes any more."""
    resumed: list[str]
    """They were silent, and are not any more."""
    is_line_silent: bool
    """Nothing at all comes."""
    to_renew: list[str]
    """They stay silent while others do not, and no witness looks after them, or can."""
    to_reconnect: bool
    """The whole line stays silent although its pace is known to be faster."""


class _Silence:
    """One stream's, until its next message."""

    __slots__ = ("interval_s", "renew_s")

    def __init__(self, now_s: float, interval_s: float) -> None:
        self.renew_s = now_s
        self.interval_s = interval_s


class StalenessMonitor:
    """Watches the streams of one line, whatever connections carry them. Bounded by the number of its streams.

    A stream that falls silent while others do not is renewed at once, and again at growing intervals; unless it has
    said something before and has a witness, which knows whether anything was missed and asks for the renewal then. A
    line that falls silent as a whole renews nothing by that alone: it is connected anew when its pace was known to be
    faster, or when nothing has ever come by it and no stream of it has a witness.
    """

    def __init__(self, *, stale_after_s: float, now_s: float) -> None:
        """`stale_after_s` is the patience with a stream that has not shown its pace, and the time that a silent line is
        given to go on.
        """
        self._stale_after_s = stale_after_s
        self._seen_s = now_s
        self._time_s = 0.0
        self._line = Pace(stale_after_s, 0.0)
        self._paces: dict[str, Pace] = {}
        self._watched: list[str] = []
        self._witnessed: frozenset[str] = frozenset()
        self._silences: dict[str, _Silence] = {}
        self._is_line_silent = False
        self._reconnect_s = 0.0
        self._reconnected_s = -MOST_S
        self._factor = 1

    @property
    def is_line_silent(self) -> bool:
        """Whether nothing at all comes any more."""
        return self._is_line_silent

    def follow(
        self, streams: Iterable[str], *, not_trading: Collection[str] = (), witnessed: frozenset[str] = frozenset()
    ) -> None:
        """These streams from now on; new ones get their patience. The `not_trading` ones may be silent for ever, the
        `witnessed` ones have a witness.
        """
        was_empty = not self._watched
        before = self._paces
        self._paces = {name: before.get(name) or Pace(self._stale_after_s, self._time_s) for name in streams}
        self._watched = [name for name in self._paces if name not in not_trading]
        self._witnessed = witnessed
        self._silences = {name: silence for name, silence in self._silences.items() if name in self._paces}
        if was_empty:
            self._line.last_s = self._time_s

    def begin(self) -> None:
        """The line begins anew: every stream gets its patience, and none is silent. What was learned stays."""
        self._silences.clear()
        self._is_line_silent = False
        for pace in (self._line, *self._paces.values()):
            pace.last_s = self._time_s

    def hold(self, now_s: float) -> None:
        """Time passes in which nothing could come; it does not count."""
        self._seen_s = now_s

    def silence_s(self, stream: str) -> float:
        """How long nothing has come of a stream that is followed."""
        return self._time_s - self._paces[stream].last_s

    def look(self, active: Collection[str], now_s: float) -> Findings:
        """Takes note of the streams with messages since the last look; returns what has changed."""
        self._time_s += min(now_s - self._seen_s, STEP_S)
        self._seen_s = now_s
        present = [name for name in active if name in self._paces]
        resumed = self._take_note(present)
        silent = self._newly_silent()
        return Findings(silent, resumed, self._is_line_silent, self._to_renew(), self._is_time_to_reconnect())

    def claim_reconnect(self) -> bool:
        """Whether a line that is silent may be connected anew for a witness: not again and again in a short time."""
        pause_s = min(self._stale_after_s, 15.0) * self._factor
        if not self._is_line_silent or self._time_s - self._reconnected_s < pause_s:
            return False
        self._note_reconnect()
        return True

    def _take_note(self, present: list[str]) -> list[str]:
        """Which streams were silent, and are not any more."""
        for name in present:
            self._paces[name].on_message(self._time_s)
        if not present:
            return []
        self._line.on_message(self._time_s)
        self._factor = 1
        was_line_silent, self._is_line_silent = self._is_line_silent, False
        if not self._silences:
            return []
        back = set(present)
        if was_line_silent:
            back.update(name for name, pace in self._paces.items() if not pace.is_overdue(self._time_s))
        resumed = [name for name in self._silences if name in back]
        for name in resumed:
            del self._silences[name]
        return resumed

    def _newly_silent(self) -> list[str]:
        if self._is_line_silent or not self._watched:
            return []
        if self._line.is_overdue(self._time_s):
            self._is_line_silent = True
            self._reconnect_s = self._time_s + self._stale_after_s * self._factor
            silent = self._watched
        else:
            silent = [name for name in self._watched if name not in self._silences and self._is_overdue(name)]
        for name in silent:
            interval_s = max(self._paces[name].patience_s, self._stale_after_s)
            self._silences.setdefault(name, _Silence(self._time_s, interval_s))
        return silent.copy()

    def _is_overdue(self, name: str) -> bool:
        return self._paces[name].is_overdue(self._time_s)

    def _to_renew(self) -> list[str]:
        if self._is_line_silent or not self._silences:
            return []
        # a witness compares with what has come: where nothing ever did, it knows nothing
        watched = {name for name in self._watched if name not in self._witnessed or not self._paces[name].has_messages}
        due = [name for name, silence in self._silences.items() if name in watched and silence.renew_s <= self._time_s]
        for name in due:
            silence = self._silences[name]
            silence.interval_s = min(silence.interval_s * RENEW_FACTOR, MOST_S)
            silence.renew_s = self._time_s + silence.interval_s
        return due

    def _is_time_to_reconnect(self) -> bool:
        if not self._is_line_silent or self._time_s < self._reconnect_s or not self._is_unexplained():
            return False
        self._note_reconnect()
        return True

    def _is_unexplained(self) -> bool:
        if not self._line.has_messages:
            return self._witnessed.isdisjoint(self._watched)
        return self._line.is_faster_than(self._stale_after_s)

    def _note_reconnect(self) -> None:
        self._reconnected_s = self._time_s
        if self._line.has_messages:
            self._factor = min(self._factor * 2, RECONNECT_LIMIT)
        else:
            self._factor = min(self._factor * RENEW_FACTOR, max(1, int(MOST_S / self._stale_after_s)))
        self._reconnect_s = self._time_s + self._stale_after_s * self._factor
