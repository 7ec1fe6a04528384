"""Detects silent streams by the usual pauses between their messages. No I/O; the time is an argument.

A stream is silent when it has had no message for a multiple of its longest usual pause. So a stream with ten messages a
second is silent after seconds, and one with a message every twenty minutes is not.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

LEAST_S: Final = 3.0
"""Shortest pause that counts as silence, however fast the stream."""
MOST_S: Final = 24 * 3_600.0
"""Longest limit of a silence, and longest time between two renewals of a stream that stays silent."""
MULTIPLE: Final = 3.0
"""Limit of a silence in multiples of the longest usual pause; twice that while few pauses are known."""
STEADY_S: Final = 10.0
"""Limit of the silence of a stream that is known to be steady, until its pace is known."""
ENOUGH: Final = 8
"""Pauses after which the pace of a stream is known."""
FEW: Final = 3
"""Pauses after which a much longer silence justifies a new connection."""
BLOCK: Final = 128
"""Pauses per block; the longest pause is that of the last one to two blocks."""
REPEATS: Final = 5
"""Silences of similar length, close to each other, after which a stream has a new pace. A single one proves nothing: it
may be an outage.
"""
RENEW_FACTOR: Final = 4
"""Factor of the interval between two renewals of a stream that stays silent."""
RECONNECT_LIMIT: Final = 16
"""The time between two reconnections of a silent connection doubles, up to this factor."""
STEP_S: Final = 1.0
"""Most time that counts between two looks: without a look no message is counted either."""


class Pace:
    """The pauses of one stream, or of all streams together, and the limit of its silence."""

    __slots__ = ("_before_s", "_gaps", "_longest_s", "_start_s", "_surprised_s", "_surprises", "last_s", "limit_s")

    def __init__(self, start_s: float, now_s: float) -> None:
        """`start_s` is the limit until its pace is known."""
        self._start_s = start_s
        self._gaps = 0
        self._longest_s = 0.0
        self._before_s = 0.0
        self._surprises = 0
        self._surprised_s = 0.0
        self.last_s = now_s
        """Time of the newest message, or of the begin of the watch."""
        self.limit_s = start_s

    @property
    def is_known(self) -> bool:
        """Whether enough pauses are known."""
        return self._gaps >= ENOUGH

    @property
    def has_messages(self) -> bool:
        """Whether there was any message."""
        return self._gaps > 0

    def is_faster_than(self, pause_s: float) -> bool:
        """Whether its known pauses are not longer than `pause_s`."""
        return self._gaps >= FEW and self.longest_s <= pause_s

    @property
    def longest_s(self) -> float:
        """Its longest usual pause."""
        return max(self._longest_s, self._before_s)

    def is_overdue(self, now_s: float) -> bool:
        """Whether its silence has reached the limit."""
        return now_s - self.last_s >= self.limit_s

    def on_message(self, now_s: float) -> None:
        """Counts a message."""
        gap_s, self.last_s = now_s - self.last_s, now_s
        if gap_s >= self.limit_s and self.is_known and not self._is_repeated(gap_s, now_s):
            return
        self._gaps += 1
        if self._gaps % BLOCK == 0:
            self._before_s, self._longest_s = self._longest_s, gap_s
        self._longest_s = max(self._longest_s, gap_s)
        self.limit_s = self._learned()

    def _is_repeated(self, gap_s: float, now_s: float) -> bool:
        """Whether such silences are usual now."""
        is_near = now_s - self._surprised_s <= 20 * gap_s
        self._surprises = self._surprises + 1 if is_near else 1
        self._surprised_s = now_s
        return self._surprises >= REPEATS

    def _learned(self) -> float:
        longest_s, least_s = self.longest_s, min(LEAST_S, self._start_s)
        multiple = MULTIPLE * (1 + ENOUGH / max(self._gaps, ENOUGH))
        limit_s = min(max(multiple * longest_s, least_s), MOST_S)
        if not self.is_known:
            return max(limit_s, self._start_s)
        is_fast = longest_s <= self._start_s / 4
        return min(limit_s, self._start_s) if is_fast else limit_s


class Findings(NamedTuple):
    """The result of a look; streams in the order in which they are followed."""

    silent: list[str]
    """Streams that have become silent, or still are on a new connection; all streams, when all are."""
    resumed: list[str]
    """Streams that are not silent any more."""
    is_all_silent: bool
    """Whether no stream has messages any more."""
    to_renew: list[str]
    """Streams that stay silent while others do not, and for which no witness can request the renewal."""
    to_reconnect: bool
    """Whether the connection must be renewed: all stay silent although their pace is known to be faster."""


class _Silence:
    """The silence of one stream, until its next message."""

    __slots__ = ("interval_s", "renew_s")

    def __init__(self, now_s: float, interval_s: float) -> None:
        self.renew_s = now_s
        self.interval_s = interval_s


class StalenessMonitor:
    """Watches the streams of one connection, or of several redundant ones. Bounded by the number of streams.

    A stream that becomes silent while others are not is renewed at once, and again at growing intervals; unless it had
    messages before and has a witness, which knows whether any were missed and requests the renewal then. When all
    streams become silent, none is renewed: the connection is opened again if their pace was known to be faster, or if
    there was never a message and no stream has a witness.
    """

    def __init__(self, *, stale_after_s: float, now_s: float) -> None:
        """`stale_after_s` is the limit for a stream of unknown pace, and the delay before a silent connection is opened
        again.
        """
        self._stale_after_s = stale_after_s
        self._seen_s = now_s
        self._time_s = 0.0
        self._overall = Pace(stale_after_s, 0.0)
        self._paces: dict[str, Pace] = {}
        self._watched: list[str] = []
        self._witnessed: frozenset[str] = frozenset()
        self._silences: dict[str, _Silence] = {}
        self._is_all_silent = False
        self._has_begun = False
        """The connection is new since the last look."""
        self._reconnect_s = 0.0
        self._reconnected_s = -MOST_S
        self._factor = 1

    @property
    def is_all_silent(self) -> bool:
        """Whether no stream has messages any more."""
        return self._is_all_silent

    @property
    def silent(self) -> Collection[str]:
        """The streams that are silent now."""
        return self._silences.keys()

    def follow(
        self,
        streams: Iterable[str],
        *,
        not_trading: Collection[str] = (),
        witnessed: frozenset[str] = frozenset(),
        steady: frozenset[str] = frozenset(),
    ) -> None:
        """Sets the streams to watch; for new ones the time starts now. Those `not_trading` may be silent for ever,
        those `witnessed` have a witness, and those `steady` speak every few seconds.
        """
        was_empty = not self._watched
        before = self._paces
        steady_s = min(STEADY_S, self._stale_after_s)
        self._paces = {
            name: before.get(name) or Pace(steady_s if name in steady else self._stale_after_s, self._time_s)
            for name in streams
        }
        self._watched = [name for name in self._paces if name not in not_trading]
        self._witnessed = witnessed
        self._silences = {name: silence for name, silence in self._silences.items() if name in self._paces}
        if was_empty:
            self._overall.last_s = self._time_s

    def begin(self) -> None:
        """The connection begins anew. What was silent stays so until it has a message, for a new connection is no
        message; it is reported again, as its end may have been concluded from that. For other streams the time starts
        again. Known paces stay.
        """
        self._has_begun = bool(self._silences)
        for name, pace in self._paces.items():
            if name not in self._silences:
                pace.last_s = self._time_s
        for silence in self._silences.values():
            silence.renew_s = self._time_s + silence.interval_s
        if self._is_all_silent:
            self._reconnect_s = max(self._reconnect_s, self._time_s + self._stale_after_s * self._factor)
        else:
            self._overall.last_s = self._time_s

    @property
    def usual_pause_s(self) -> float:
        """Longest usual pause between two messages of whatever stream; 0 when not known."""
        return self._overall.longest_s if self._overall.is_known else 0.0

    def skip(self, now_s: float) -> None:
        """Time in which no message could arrive; it does not count."""
        self._seen_s = now_s

    def silence_s(self, stream: str) -> float:
        """Time since the last message of a followed stream."""
        return self._time_s - self._paces[stream].last_s

    def look(self, active: Collection[str], now_s: float, *, is_alive: bool = False) -> Findings:
        """Counts the streams with messages since the last look; returns what has changed. `is_alive`: the venue has
        given a sign of life, a message of the connection and of no stream.
        """
        self._time_s += min(now_s - self._seen_s, STEP_S)
        self._seen_s = now_s
        present = [name for name in active if name in self._paces]
        resumed = self._note_messages(present, is_alive=is_alive)
        silent = [*self._still_silent(), *self._newly_silent()]
        return Findings(silent, resumed, self._is_all_silent, self._to_renew(), self._is_time_to_reconnect())

    def claim_reconnect(self) -> bool:
        """Whether a silent connection may be opened again for a witness; rate limited."""
        pause_s = min(self._stale_after_s, 15.0) * self._factor
        if not self._is_all_silent or self._time_s - self._reconnected_s < pause_s:
            return False
        self._note_reconnect()
        return True

    def _note_messages(self, present: list[str], *, is_alive: bool) -> list[str]:
        """Counts messages; the streams that are not silent any more."""
        for name in present:
            self._paces[name].on_message(self._time_s)
        if not present and not is_alive:
            return []
        self._overall.on_message(self._time_s)
        self._factor = 1
        was_all_silent, self._is_all_silent = self._is_all_silent, False
        if not self._silences:
            return []
        back = set(present)
        if was_all_silent:
            back.update(name for name, pace in self._paces.items() if not pace.is_overdue(self._time_s))
        resumed = [name for name in self._silences if name in back]
        for name in resumed:
            del self._silences[name]
        return resumed

    def _still_silent(self) -> list[str]:
        """The streams that were silent before the connection began, and are."""
        has_begun, self._has_begun = self._has_begun, False
        return list(self._silences) if has_begun else []

    def _newly_silent(self) -> list[str]:
        if self._is_all_silent or not self._watched:
            return []
        if self._overall.is_overdue(self._time_s):
            self._is_all_silent = True
            self._reconnect_s = self._time_s + self._stale_after_s * self._factor
            silent = self._watched
        else:
            silent = [name for name in self._watched if name not in self._silences and self._is_overdue(name)]
        for name in silent:
            interval_s = max(self._paces[name].limit_s, self._stale_after_s)
            self._silences.setdefault(name, _Silence(self._time_s, interval_s))
        return silent.copy()

    def _is_overdue(self, name: str) -> bool:
        return self._paces[name].is_overdue(self._time_s)

    def _to_renew(self) -> list[str]:
        if self._is_all_silent or not self._silences:
            return []
        # a witness compares with received messages: without any it knows nothing
        watched = {name for name in self._watched if name not in self._witnessed or not self._paces[name].has_messages}
        due = [name for name, silence in self._silences.items() if name in watched and silence.renew_s <= self._time_s]
        for name in due:
            silence = self._silences[name]
            silence.interval_s = min(silence.interval_s * RENEW_FACTOR, MOST_S)
            silence.renew_s = self._time_s + silence.interval_s
        return due

    def _is_time_to_reconnect(self) -> bool:
        if not self._is_all_silent or self._time_s < self._reconnect_s or not self._is_unexplained():
            return False
        self._note_reconnect()
        return True

    def _is_unexplained(self) -> bool:
        if not self._overall.has_messages:
            return self._witnessed.isdisjoint(self._watched)
        return self._overall.is_faster_than(self._stale_after_s)

    def _note_reconnect(self) -> None:
        self._reconnected_s = self._time_s
        if self._overall.has_messages:
            self._factor = min(self._factor * 2, RECONNECT_LIMIT)
        else:
            self._factor = min(self._factor * RENEW_FACTOR, max(1, int(MOST_S / self._stale_after_s)))
        self._reconnect_s = self._time_s + self._stale_after_s * self._factor
