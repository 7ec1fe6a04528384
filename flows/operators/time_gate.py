"""Whether the event time of a message can be true: the venue's time, decided by many messages and never by one.

A message may be late; that is legal and moves no clock. One that is more than `AHEAD_MS` ahead of the venue's time is
in doubt. What happens to it depends on whether the local clock is a witness:

* It is, when the venue's time has kept its pace, as measured over `PACED_MS` without a late message. Then what is ahead
  is refused. When it is the venue that has jumped, all say the same: `JUMP_MESSAGES` of `JUMP_STREAMS` instruments over
  `JUMP_MS` that agree within `AGREE_MS`, while none says the time from before, set the clock anew, and that is an
  incident. Before that the venue's REST side is queried for its time, where there is one: when it does not say the
  same, the clock stays. To go back to where the clock was before, the first messages of two streams suffice.
* It is not, at the begin, behind a leap of the local clock, and in a recording that is played faster than it was made.
  There the messages of a line, which arrive in the order of their times, vouch for each other: one that is ahead of all
  others is held until another stream is about as far, and refused when others go on before it.

The clock goes back by more than half a second, when all messages of its window are later than those before, only when
REST says so: else it is the line that is late, and what it brings is old. As long as REST contradicts, the clock stays
where REST says, queried every `REST_EVERY_MS`; without a usable answer it stays where it was for `KEPT_MS`, then it
follows the messages. A line may be late from the begin: where the venue's time is ours, that is compared with REST too.

Ordinary messages cost one comparison a batch.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, TypeAlias

from flows.clock import FeedClock, Now
from flows.model import Incident, MarketEvent
from flows.operators.doubtful_times import Held, Line, Refused, all_of, reason_of
from flows.operators.parse import Batch

AHEAD_MS = 5_000
"""Most that an event time may be ahead of the venue's time."""
PACED_MS = 3_000
"""Local time over which the pace of the venue's time is measured."""
PACE_MS = 1_000
"""When it gains more in that time, or a message is later, the local clock is no witness by that."""
HOLD_MS = 1_000
"""A message in doubt is held so long, local time, when no other comes by its line; then it is believed."""
REFUTED_BY = 2
"""Messages of other streams that go on before one in doubt; then it is refused."""
ABOUT_MS = 1_000
"""Messages of so different times are at about the same time."""
END_MS = 60_000
"""At the end of the input nothing can follow: what is ahead of the others by no more is believed."""
JUMP_MESSAGES = 20
JUMP_STREAMS = 2
JUMP_MS = 3_000
LONG_MS = 10_000
"""When no message has said the known time for so long, though some came, it is not known: they are believed."""
AGREE_MS = 1_000
CLAIMS_KEPT = 1_000
"""Refused messages whose times are remembered."""
MOST_HELD = 10_000
"""Events in doubt that are held; more are refused."""
ANSWER_MS = 10_000
"""Local time for which an answer of the venue's REST side counts; then it is queried again."""
REST_EVERY_MS = 30_000
"""The same while all messages are later than the clock, or nothing has confirmed it since it began anew."""
KEPT_MS = 600_000
"""Longest local time for which the clock stays ahead of all messages while REST says nothing usable of that."""

QueryTime: TypeAlias = Callable[[Callable[[int | None], None]], None]
"""Queries the venue's REST side for its time and calls back once, on any thread: ms UTC, or None without an answer."""


class _Claim(NamedTuple):
    local: int
    offset: int
    key: str


class _Answer(NamedTuple):
    """What the venue's REST side has answered."""

    local: int
    offset: int | None
    """The least that its time can be ahead of the local clock; None: it did not answer."""
    most: int = 0
    """The most: it has read its clock at some time between the query and the answer."""


class TimeGate:
    """Lets batches pass whose event times can be true. Pure: `clock` is the venue's, which it alone sets."""

    def __init__(
        self,
        venue: str,
        clock: FeedClock,
        query_time: QueryTime | None = None,
        *,
        is_timely: bool = False,
        borrowed: frozenset[type] = frozenset(),
    ) -> None:
        """`is_timely`: the venue's time is ours, so a clock that begins is compared with REST. `borrowed` as in
        `VenueRules.borrowed_times`.
        """
        self._venue, self._borrowed = venue, borrowed
        self._clock = clock
        clock.guard()
        self._query_time = query_time
        self._is_timely = is_timely and query_time is not None
        self._begins = 0
        """Times that the clock had begun anew when REST was queried."""
        self._is_confirmed = True
        """REST was compared with the clock since it began anew, or need not be."""
        self._ahead_since: int | None = None
        """Local time since which the clock is ahead of all messages, and REST does not say that it should be."""
        self._is_queried = False
        self._answer: _Answer | None = None
        self._lines: defaultdict[str, Line] = defaultdict(Line)
        self._sample: tuple[int, int] | None = None  # (local time, offset) from which the pace is measured
        self._is_paced = False
        """The venue's time went at the pace of the local clock when that was measured last."""
        self._claims: deque[_Claim] = deque(maxlen=CLAIMS_KEPT)
        self._before_jump: int | None = None
        """Offset before the clock was set anew."""
        self.instruments: set[str] = set()
        """Symbols that are followed, as far as lines have said."""
        self.held = 0
        """Events that are held."""
        self.has_claims = False
        """Messages say another time than that of the clock."""
        self.is_busy = False
        """Something is held, or the clock was set anew and may be set back: every poll is of interest."""

    def limit(self, now: Now) -> int:
        """The latest event time that is accepted without further checks, ms UTC."""
        return now.feed + AHEAD_MS

    def passed(self, newest: int, now: Now) -> None:
        """Takes note of the newest event time of a poll that was believed."""
        self._clock.observe(newest)
        self._measure_pace(newest, now)
        if self._clock.begins != self._begins:
            self._begins, self._answer, self._is_confirmed = self._clock.begins, None, not self._is_timely
        if self._clock.is_ahead or not self._is_confirmed:
            self._compare(now)
        else:
            self._ahead_since = None

    def _measure_pace(self, newest: int, now: Now) -> None:
        """Behind a pause it begins anew: what was sent before is late, and what makes up for it comes at any pace."""
        offset, sample = self._clock.offset, self._sample
        late = now.local + offset - newest
        if sample is None or abs(offset - sample[1]) > PACE_MS or self._clock.begins != self._begins:
            self._is_paced, self._sample = False, (now.local, offset)
        elif late > PACE_MS:
            self._sample = now.local, offset
        elif now.local - sample[0] >= PACED_MS and late >= -PACE_MS:
            self._is_paced, self._sample = True, (now.local, offset)

    def note_present(self) -> None:
        """A message has said the time as it is known: whatever others say, the venue has not jumped."""
        self._claims.clear()
        self.has_claims = False

    def judge(
        self, ahead: list[Batch], arrived: list[Batch], now: Now
    ) -> tuple[list[Batch], list[Refused], list[Incident]]:
        """Looks at the batches of a poll with events that are `ahead`, and at what is held. `arrived` are all batches
        of the poll, `ahead` among them. Gives those that pass, what is refused, and what happened to the clock.
        """
        passed: list[Batch] = []
        refused: list[Refused] = []
        if self._is_paced and self._clock.is_sure:
            incidents = self._judge_by_clock(ahead, now, passed, refused)
            ahead = []
        else:
            incidents = []
        lines = {batch.line for batch in ahead} | {name for name, line in self._lines.items() if line.held}
        for name in sorted(lines):
            on_line = [batch for batch in arrived if batch.line == name]
            doubtful = [batch for batch in ahead if batch.line == name]
            self._judge_by_others(self._lines[name], on_line, doubtful, now, passed, refused)
        self._update()
        return passed, refused, incidents

    def end(self) -> tuple[list[Batch], list[Refused]]:
        """Nothing will follow."""
        passed: list[Batch] = []
        refused: list[Refused] = []
        reach = self._clock.now().feed
        for line in self._lines.values():
            for held in line.held:
                if not reach or held.time <= reach + END_MS:
                    passed.append(held.batch)
                else:
                    refused += all_of(held.batch, "the input ended before another message was as far")
            line.held = []
        self.held = 0
        self._update()
        return passed, refused

    def _update(self) -> None:
        self.is_busy = self.held > 0 or self._before_jump is not None

    # --- by the clock ---

    def _judge_by_clock(
        self, batches: list[Batch], now: Now, passed: list[Batch], refused: list[Refused]
    ) -> list[Incident]:
        incidents = []
        for batch in batches:
            ahead = [event for event in batch.events if event.event_time > self.limit(now)]
            if ahead and self._witnesses([batch]) and (jump := self._claim(batch.key, ahead, now)) is not None:
                incidents.append(jump)
                now = self._clock.now()
            limit = self.limit(now)
            refused += [Refused(batch.key, e, reason_of(e, now)) for e in batch.events if e.event_time > limit]
            batch.events = [event for event in batch.events if event.event_time <= limit]
            if batch.events:
                passed.append(batch)
        return incidents

    def _claim(self, key: str, ahead: list[MarketEvent], now: Now) -> Incident | None:
        """Notes that messages say another time; the clock is set when enough of them agree."""
        self.has_claims = True
        self._claims += [_Claim(now.local, event.event_time - now.local, key) for event in ahead]
        newest = self._claims[-1].offset
        agreeing = [
            claim
            for claim in self._claims
            if abs(claim.offset - newest) <= AGREE_MS and now.local - claim.local <= 10 * JUMP_MS
        ]
        streams = {claim.key for claim in agreeing}
        is_over = agreeing[-1].local - agreeing[0].local >= JUMP_MS
        is_long = now.local - self._claims[0].local >= LONG_MS
        if is_long:  # whatever they say, none says the time as it is known
            agreeing = list(self._claims)
            streams = {claim.key for claim in agreeing}
        if len(agreeing) < JUMP_MESSAGES or len(streams) < self._fewest_streams(streams) or not (is_over or is_long):
            return None
        if not self._does_venue_agree(newest, now):
            return None
        return self._set(newest, now, f"{len(agreeing)} messages of {len(streams)} instruments agree")

    def _does_venue_agree(self, offset: int, now: Now) -> bool:
        """Whether its REST side does not contradict the messages; not while its answer is awaited. One that does not
        answer contradicts nothing.
        """
        if self._query_time is None:
            return True
        answer = self._answer_of_rest(now, ANSWER_MS)
        return answer is not None and (answer.offset is None or abs(answer.offset - offset) <= AHEAD_MS)

    def _answer_of_rest(self, now: Now, lasts_ms: int) -> _Answer | None:
        """Its newest answer. One that is older than `lasts_ms` is none: then it is queried, and that is awaited."""
        answer = self._answer
        if answer is not None and now.local - answer.local <= lasts_ms:
            return answer
        if self._query_time is not None and not self._is_queried:
            self._is_queried = True
            self._query_time(partial(self._take_answer, now.local, self._begins))
        return None

    def _take_answer(self, asked: int, begins: int, time: int | None) -> None:
        local = self._clock.now().local
        if begins == self._begins:  # else the local clock may have been set since
            self._answer = _Answer(local, None) if time is None else _Answer(local, time - local, time - asked)
        self._is_queried = False

    def _compare(self, now: Now) -> None:
        """Whether the line is late, or the clock is to follow its messages back."""
        clock, answer = self._clock, self._answer_of_rest(now, REST_EVERY_MS)
        said = clock.said_offset
        if self._ahead_since is None or not clock.is_ahead:
            self._ahead_since = now.local
        if answer is not None and answer.offset is not None:
            if answer.most <= said + AGREE_MS:
                clock.believe(said)
                self._is_confirmed = True
                return
            if answer.offset > said + AGREE_MS:
                self._ahead_since = now.local
                self._follow_rest(answer.offset, answer.most)
                return
        if now.local - self._ahead_since > KEPT_MS:
            clock.believe(said)
            self._is_confirmed = self._query_time is None  # an answer that comes later is compared

    def _follow_rest(self, least: int, most: int) -> None:
        """The line is late: the clock keeps within what REST says. Forward by much only after a begin: else one wrong
        answer would move it.
        """
        clock = self._clock
        if clock.offset > most or clock.offset < least <= clock.offset + AHEAD_MS or not self._is_confirmed:
            clock.believe(min(max(clock.offset, least), most))
        self._is_confirmed = True

    def _set(self, offset: int, now: Now, why: str) -> Incident:
        before = now.feed - now.local
        self._before_jump = before
        self._clock.set_to(now.local + offset)
        self._sample = now.local, offset
        self.note_present()
        cause = f"the venue's time has jumped by {offset - before} ms: {why}"
        return Incident("clock", self._venue, "", now.feed, now.local + offset, cause, "the clock is set anew")

    def note_behind(self, batches: Iterable[Batch], now: Now) -> Incident | None:
        """After a jump: when messages say the time from before it again, the clock goes back there at once."""
        before = self._before_jump
        if before is None:
            return None
        said = [(batch.key, batch.events[-1].event_time - now.local) for batch in self._witnesses(batches)]
        agreeing = {key for key, offset in said if abs(offset - before) <= AHEAD_MS}
        if len(agreeing) < self._fewest_streams(agreeing):
            return None
        incident = self._set(before, now, "messages say the time from before the last jump")
        self._before_jump = None
        self._update()
        return incident

    def _fewest_streams(self, found: set[str]) -> int:
        """Instruments that must agree: one where one is followed."""
        return min(JUMP_STREAMS, max(len(self.instruments), len(found)))

    # --- by the others ---

    def _judge_by_others(
        self, line: Line, arrived: list[Batch], doubtful: list[Batch], now: Now, passed: list[Batch],
        refused: list[Refused],
    ) -> None:  # fmt: skip
        """What is held on a line, and then what has arrived behind it."""
        limit = max(self._reach(line, arrived), self.limit(now))
        waiting, line.held = line.held, []
        self.held -= sum(len(held.batch.events) for held in waiting)
        if waiting:
            line.before += sum(
                0 < event.event_time < waiting[0].time - AHEAD_MS
                for batch in self._witnesses(arrived)
                for event in batch.events
            )
        for held in waiting:
            if held.time <= limit or (not arrived and now.local - held.local >= HOLD_MS):
                passed.append(held.batch)
            elif line.before >= REFUTED_BY:
                refused += all_of(held.batch, "others went on before it")
            else:
                self._hold(line, held)
        if not line.held:
            line.before = 0
        for batch in doubtful:
            self._split(line, batch, limit, now, passed, refused)

    def _split(
        self, line: Line, batch: Batch, limit: int, now: Now, passed: list[Batch], refused: list[Refused]
    ) -> None:
        """The events of a batch that others vouch for pass, the others are held."""
        rest = Batch(batch.key, [event for event in batch.events if event.event_time > limit], batch.line)
        batch.events = [event for event in batch.events if event.event_time <= limit]
        if batch.events:
            passed.append(batch)
        if self.held + len(rest.events) > MOST_HELD:
            refused += all_of(rest, "too many messages are ahead of the others")
        elif rest.events:
            self._hold(line, Held(rest, max(event.event_time for event in rest.events), now.local))

    def _hold(self, line: Line, held: Held) -> None:
        line.held.append(held)
        self.held += len(held.batch.events)

    def _reach(self, line: Line, arrived: list[Batch]) -> int:
        """How far the line has come for sure: the time that two of its streams have reached, or two messages where it
        has one stream only.
        """
        newest: defaultdict[tuple[str, type], int] = defaultdict(int)
        batches = self._witnesses([*(held.batch for held in line.held), *arrived])
        for batch in batches:
            stream = batch.key, type(batch.events[0])
            newest[stream] = max(newest[stream], *(event.event_time for event in batch.events))
        if len(line.streams) < JUMP_STREAMS:
            line.streams.update(newest)
        if len(line.streams) > 1:
            times = sorted(newest.values())
        else:
            times = sorted(event.event_time for batch in batches for event in batch.events)
        return times[-2] + ABOUT_MS if len(times) > 1 else 0

    def _witnesses(self, batches: Iterable[Batch]) -> list[Batch]:
        """Those that say themselves when they were sent; of some all events may have been refused meanwhile."""
        borrowed = self._borrowed
        return [b for b in batches if b.events and b.events[0].event_time and type(b.events[0]) not in borrowed]
