"""Step `freshness`: how current the data of each instrument is, and that the flow is alive.

The sources say which streams are silent, the sequencer whether a witness knows later trades, the books whether they are
right, the stores whether they take what they get; here that becomes one state for each instrument and channel, from
which everything else is derived. No data is looked at but the newest event of a poll, a few times a second.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, get_args

from flows.clock import FeedClock, Now
from flows.model import (
    Backpressure,
    ChannelStatus,
    Connected,
    Disconnected,
    FreshnessChannel,
    Heartbeat,
    InstrumentStatus,
    Removed,
    Silent,
    Speaking,
    Subscribed,
    TradeWitness,
    TradingStatus,
)
from flows.operators.status.channels import (
    BUSY_MS,
    RANK,
    InstrumentState,
    Known,
    LineState,
    Silence,
    Verdict,
    channel_of,
    kinds_by_symbol,
    of_streams,
    worst_of,
)
from flows.operators.status.observations import ChannelRefused, Observation, Progress, Unsynced, waiting_of

HEARTBEAT_MS: Final = 1_000
"""Local time between two heartbeats."""
LATE_MS: Final = 5_000
"""Bound of the flow's delay: what is later is `behind`."""
LATE_LOOKS: Final = 4
"""Times in a row that all data was later than the bound, until the flow is: one late message is no delay."""
REPEAT_MS: Final = 15_000
"""Local time after which every state is published again, for a reader that may have lost one."""
CONFIRMED_MS: Final = 5_000
"""Local time in which the source says that streams are silent still, after they were subscribed anew."""
STATUSES_KEPT: Final = 10_000
"""Symbols whose trading status is remembered; then the oldest is forgotten."""

_CHANNELS: Final[tuple[FreshnessChannel, ...]] = get_args(FreshnessChannel)


class Freshness:
    """Keeps the states of a venue's instruments. Emits an `InstrumentStatus` whenever one changes, all of them again
    every `REPEAT_MS`, and a `Heartbeat` every `HEARTBEAT_MS`, as long as `Progress` comes.

    Grows with the instruments that are followed. An instrument that no line carries any more is forgotten.
    """

    def __init__(
        self,
        venue: str,
        clock: FeedClock,
        *,
        kinds: tuple[str, ...] = (),
        has_books: bool = False,
        is_timely: bool = False,
        outages: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        """`kinds` are subscribed where a confirmation names no streams. `has_books`: each book is `unsynced` until its
        first view says otherwise. `is_timely`: the venue's time goes on like ours, so old events mean a delay.
        `outages` gives the reason of each store that is out by its name; without it there is no channel `store`.
        """
        self._venue = venue
        self._clock = clock
        self._kinds = kinds
        self._has_books = has_books
        self._is_timely = is_timely
        self._read_outages = outages
        self._outages: dict[str, str] = {}
        self._instruments: dict[str, InstrumentState] = {}
        self._statuses: dict[str, str] = {}
        self._unconfirmed: dict[tuple[str, str], int] = {}
        """Silences from before a new subscription, by symbol and kind, with the local time until which they count."""
        self._caught_up_ms: int | None = None
        self._late_looks = 0
        self._late_ms = 0
        self._delay = ""
        self._heartbeat_due_ms = -HEARTBEAT_MS
        self._repeat_due_ms = 0
        self._knows_time = False
        self._reported_feed = 0
        """The venue's time at the last look: when it was set back, what was said may lie in the future."""

    def __call__(self, items: list[Observation]) -> list[InstrumentStatus | Heartbeat]:
        """The states that these observations change, in their order, and a heartbeat when it is due."""
        out: list[InstrumentStatus | Heartbeat] = []
        now = self._clock.carried()  # a state goes on while the venue's time stands still
        for item in items:
            touched = self._on_progress(item, now) if type(item) is Progress else self._on_event(item, now)
            out += self._published(touched, now)
            if type(item) is Progress:
                out += self._on_time(now)
        return out

    # --- what happens to the lines ---

    def _on_event(self, event: Observation, now: Now) -> list[str]:
        """Takes an observation; gives the symbols it concerns."""
        match event:
            case Connected():
                self._on_connected(event, now)
            case Subscribed():
                self._on_subscribed(event, now)
            case Disconnected():
                self._on_disconnected(event, now)
            case Removed():
                self._on_removed(event)
            case Silent():
                self._on_silent(event, now)
            case Speaking():
                self._on_speaking(event)
            case TradingStatus():
                self._on_trading_status(event)
            case Backpressure():
                self._on_behind(event)
            case TradeWitness() | Unsynced() | ChannelRefused():
                self._on_finding(event)
                return [event.symbol]
            case _:
                return []
        return list(event.symbols)

    def _line(self, symbol: str, line: str, now: Now) -> LineState:
        instrument = self._instruments.get(symbol)
        if instrument is None:
            instrument = self._instruments[symbol] = InstrumentState()
        if line not in instrument.lines:
            instrument.lines[line] = LineState(line, now.local)
        return instrument.lines[line]

    def _on_connected(self, event: Connected, now: Now) -> None:
        """A line that was cut stays so until its streams are confirmed: the attempt may still fail."""
        for symbol in event.symbols:
            self._line(symbol, event.line, now)

    def _on_subscribed(self, event: Subscribed, now: Now) -> None:
        confirmed = kinds_by_symbol(event) if event.streams else dict.fromkeys(event.symbols, self._kinds)
        for symbol, kinds in confirmed.items():
            line, instrument = self._line(symbol, event.line, now), self._instruments[symbol]
            line.kinds.update(dict.fromkeys(kinds))
            line.state, line.is_behind = "live", ""
            instrument.refused.clear()
            # that streams are confirmed is no message of theirs
            still = [kind for kind in kinds if kind in instrument.silent]
            self._unconfirmed.update(((symbol, kind), now.local + CONFIRMED_MS) for kind in still)
            if any(channel_of(kind) == "trades" for kind in kinds):
                instrument.witness = None

    def _on_disconnected(self, event: Disconnected, now: Now) -> None:
        failed = f", {event.failures} attempts failed" if event.failures > 1 else ""
        for symbol in event.symbols:
            line = self._line(symbol, event.line, now)
            if line.state != "cut":
                line.state, line.began = "cut", now.local
            line.reason = f"{event.reason}{failed}"

    def _on_removed(self, event: Removed) -> None:
        for symbol in event.symbols:
            instrument = self._instruments.get(symbol)
            if instrument is None:
                continue
            line = instrument.lines.get(event.line)
            for kind in event.kinds if line else ():
                line.kinds.pop(kind, None)  # type: ignore[union-attr]
                instrument.silent.pop(kind, None)
            if line and not line.kinds:
                del instrument.lines[event.line]
            if event.is_gone or not instrument.lines:
                del self._instruments[symbol]

    def _on_silent(self, event: Silent, now: Now) -> None:
        was_busy = 0 < event.line_pause_ms <= BUSY_MS
        silence = Silence(now.local - event.for_ms, event.whole_line, was_busy)
        for symbol in event.symbols:
            instrument = self._instruments.get(symbol)
            if instrument is None:
                continue
            for kind in event.kinds:
                self._unconfirmed.pop((symbol, kind), None)
                before = instrument.silent.get(kind, silence)
                instrument.silent[kind] = silence._replace(began=min(before.began, silence.began))
                if channel_of(kind) == "trades" and instrument.is_proven_quiet():
                    instrument.witness = None  # it spoke of the time before

    def _on_speaking(self, event: Speaking) -> None:
        for symbol in event.symbols:
            if instrument := self._instruments.get(symbol):
                for kind in event.kinds:
                    instrument.silent.pop(kind, None)
                instrument.silent = {  # something comes by that connection again
                    kind: silence._replace(whole_line=False)
                    if event.line in instrument.lines and kind in instrument.lines[event.line].kinds
                    else silence
                    for kind, silence in instrument.silent.items()
                }

    def _on_trading_status(self, event: TradingStatus) -> None:
        for symbol in event.symbols:
            self._statuses.pop(symbol, None)
            self._statuses[symbol] = event.status
            if not event.status:
                self._instruments.setdefault(symbol, InstrumentState())
            elif symbol in self._instruments and not self._instruments[symbol].lines:
                del self._instruments[symbol]  # it is listed again, and its line will say more
        while len(self._statuses) > STATUSES_KEPT:
            del self._statuses[next(iter(self._statuses))]

    def _on_behind(self, event: Backpressure) -> None:
        for symbol in event.symbols:
            instrument = self._instruments.get(symbol)
            if instrument and event.line in instrument.lines:
                instrument.lines[event.line].is_behind = waiting_of(event)

    def _on_finding(self, event: TradeWitness | Unsynced | ChannelRefused) -> None:
        instrument = self._instruments.get(event.symbol)
        if instrument is None:
            return
        if isinstance(event, TradeWitness):
            instrument.witness = None if event.has_spoken else event
            if event.has_spoken:  # those who watch the line say so a moment later
                instrument.silent = {k: one for k, one in instrument.silent.items() if channel_of(k) != "trades"}
        elif isinstance(event, Unsynced):
            instrument.is_unsynced = event.is_unsynced
        elif event.reason:
            instrument.refused[event.channel] = event.reason
        else:
            instrument.refused.pop(event.channel, None)

    # --- what passes with time ---

    def _on_progress(self, progress: Progress, now: Now) -> list[str]:
        """Whether the flow is in time, and the stores take what they get; gives the symbols whose state may change."""
        before = self._delay, self._outages, self._knows_time
        cleared = progress.has_caught_up and self._clear_backlog()
        cleared |= bool(self._unconfirmed) and self._end_unconfirmed(now)
        self._delay = self._delay_of(progress, now)
        if self._read_outages:
            self._outages = {name: reason for name, reason in self._read_outages().items() if reason}
        self._knows_time = now.feed > 0
        is_set_back, self._reported_feed = now.feed < self._reported_feed, now.feed
        changed = cleared or is_set_back or before != (self._delay, self._outages, self._knows_time)
        return list(self._instruments) if changed else []

    def _clear_backlog(self) -> bool:
        lines = [line for one in self._instruments.values() for line in one.lines.values() if line.is_behind]
        for line in lines:
            line.is_behind = ""
        return bool(lines)

    def _end_unconfirmed(self, now: Now) -> bool:
        """Ends silences of which the source has not said again that they last. It does for every one that does."""
        over = [key for key, until in self._unconfirmed.items() if now.local >= until]
        for symbol, kind in over:
            del self._unconfirmed[symbol, kind]
            if instrument := self._instruments.get(symbol):
                instrument.silent.pop(kind, None)
        return bool(over)

    def _delay_of(self, progress: Progress, now: Now) -> str:
        """Why the flow is later than the bound; "" when it is not."""
        if progress.has_caught_up or self._caught_up_ms is None:
            self._caught_up_ms = now.local
        if now.local - self._caught_up_ms > LATE_MS:
            return f"the flow has not caught up with the exchange for more than {LATE_MS // 1_000} s"
        self._look_at(progress.newest, now)
        return f"the newest data is more than {LATE_MS // 1_000} s old" if self._late_looks >= LATE_LOOKS else ""

    def _look_at(self, newest: int, now: Now) -> None:
        """Counts how often in a row the newest data was late; what comes seldom does not end it, but silence does."""
        if newest and self._is_timely and self._clock.is_sure and now.feed - newest > LATE_MS:
            self._late_looks, self._late_ms = self._late_looks + 1, now.local
        elif newest or now.local - self._late_ms > LATE_MS:
            self._late_looks = 0

    def _on_time(self, now: Now) -> list[InstrumentStatus | Heartbeat]:
        out: list[InstrumentStatus | Heartbeat] = []
        if now.local >= self._repeat_due_ms:
            self._repeat_due_ms = now.local + REPEAT_MS
            out += (one.published for one in self._instruments.values() if one.published)
        if now.local >= self._heartbeat_due_ms:
            is_long_ago = now.local - self._heartbeat_due_ms >= HEARTBEAT_MS
            # by the second, however coarse the steps are in which time passes here
            self._heartbeat_due_ms = HEARTBEAT_MS + (now.local if is_long_ago else self._heartbeat_due_ms)
            out.append(Heartbeat(self._venue, now.feed, is_sure=self._clock.is_sure))
        return out

    # --- what follows from it ---

    def _published(self, symbols: list[str], now: Now) -> Iterator[InstrumentStatus]:
        for symbol in symbols:
            instrument = self._instruments.get(symbol)
            if instrument is None:
                continue
            status = self._status_of(symbol, instrument, now)
            if status != instrument.published:
                instrument.published = status
                yield status

    def _status_of(self, symbol: str, instrument: InstrumentState, now: Now) -> InstrumentStatus:
        verdicts = dict(self._verdicts(symbol, instrument))
        before = instrument.known
        instrument.known = {name: _known(verdict, before.get(name), now) for name, verdict in verdicts.items()}
        channels = tuple(
            ChannelStatus(channel, known.state, known.venue, known.reason)
            for channel in _CHANNELS
            if (known := instrument.known.get(channel))
        )
        worst = min(instrument.known.values(), key=lambda known: known.rank)
        instrument.own = own = _own(instrument, before, now)
        return InstrumentStatus(self._venue, symbol, own.state, own.venue, worst.reason, channels)

    def _verdicts(self, symbol: str, instrument: InstrumentState) -> Iterator[tuple[str, Verdict]]:
        """What each channel is; a state that concerns no channel in particular is named as its line."""
        status = self._of_status(symbol)
        for channel, carried in instrument.channels().items():
            worst = worst_of(status, *(line.verdict() for _, line in carried))
            yield channel, worst or self._of_channel(channel, [kind for kind, _ in carried], instrument)
        for line in instrument.lines.values():
            if not any(map(channel_of, line.kinds)):
                yield f"line {line.name}", worst_of(status, line.verdict()) or Verdict("live")
        if not instrument.lines:
            yield "", status or Verdict("connecting", "no line carries it yet")
        if self._read_outages is not None:
            yield "store", self._of_stores()

    def _of_status(self, symbol: str) -> Verdict | None:
        status = self._statuses.get(symbol, "TRADING")
        if not status:
            return Verdict("gone", "the exchange does not list it")
        return None if status == "TRADING" else Verdict("halted", f"the exchange says {status}")

    def _of_stores(self) -> Verdict:
        if not self._outages:
            return Verdict("live")
        return Verdict("not stored", "; ".join(f"{name}: {reason}" for name, reason in self._outages.items()))

    def _of_channel(self, channel: FreshnessChannel, kinds: list[str], instrument: InstrumentState) -> Verdict:
        """What a channel is whose lines are up."""
        if reason := instrument.refused.get(channel):
            return Verdict("silent", reason)
        if self._delay:
            return Verdict("behind", self._delay)
        silences = [instrument.silent.get(kind) for kind in kinds]
        found = of_streams(channel, silences, instrument)
        if channel == "book" and found.state != "silent" and self._lacks_book(instrument):
            return Verdict("unsynced", "the book is not known to be the exchange's")
        return found

    def _lacks_book(self, instrument: InstrumentState) -> bool:
        return self._has_books if instrument.is_unsynced is None else instrument.is_unsynced


def _known(verdict: Verdict, before: Known | None, now: Now) -> Known:
    """A verdict with the time since when it holds: while the state stays, that stays."""
    if before and before.state == verdict.state and verdict.began in (None, before.local):
        return _timed(before._replace(reason=verdict.reason), now)
    return _timed(Known(verdict.state, verdict.reason, now.local if verdict.began is None else verdict.began, 0), now)


def _own(instrument: InstrumentState, before: Mapping[str, Known], now: Now) -> Known:
    """What the instrument is: as its worst channel, since it is that. It becomes worse when that channel did, which may
    have been noticed later; it becomes better now, whatever that channel was before.
    """
    known, own = instrument.known, instrument.own
    worst = min(known.values(), key=lambda one: one.rank)
    if own and own.state == worst.state:
        return _timed(own._replace(reason=worst.reason), now)
    alike = {name: one.local for name, one in known.items() if one.state == worst.state}
    if own is None:
        local = min(alike.values())
    elif RANK[worst.state] < RANK[own.state]:
        new = [local for name, local in alike.items() if name not in before or before[name].state != worst.state]
        local = max(own.local, min(new, default=now.local))
    else:
        local = now.local
    return _timed(Known(worst.state, worst.reason, local, 0), now)


def _timed(known: Known, now: Now) -> Known:
    """With the venue's time, which is never later than the present one: the clock may have been set back since."""
    if now.feed and not 0 < known.venue <= now.feed:
        return known._replace(venue=now.feed - (now.local - known.local))
    return known
