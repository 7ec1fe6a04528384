"""Step `validate`: what is well-formed but cannot be true is refused, and times become milliseconds.

The rules for single fields stand with the venue's wire types, those between the fields of an event in `flows.bounds`,
and those of the venue's time in `time_gate`. Trades are looked at where they are used, by the same rules: the last one
of a batch by the step `prices`, and all of them together by the sequencer.
"""

from msgspec import structs

from flows.bounds import ANY_VENUE, LATEST_MS, MICROSECONDS_FROM, VenueRules, fault_of
from flows.clock import FeedClock, Now
from flows.model import Flush, Incident, MarketEvent, Removed, Subscribed, Trade, TradesRefused
from flows.operators.doubtful_times import Refused
from flows.operators.parse import Batch, InstrumentEvent, Parsed, Trades, Validated, by_instrument
from flows.operators.refusals import rejected
from flows.operators.time_gate import AHEAD_MS, QueryTime, TimeGate

TICK_MS = 500
"""Local time between two ticks of the clock; the source polls at least so often."""
OBSERVE_MS = 20
"""Local time between two observations of the venue's time, unless it has gained as much."""

_TIME_FIELDS = ("time", "event_time", "open_time", "close_time")


class Validate:
    """Refuses impossible events.

    `clock` is the venue's: it is set here, by the events that are believed, and ticks with the source's polls.
    """

    def __init__(
        self,
        venue: str = "",
        clock: FeedClock | None = None,
        rules: VenueRules = ANY_VENUE,
        query_time: QueryTime | None = None,
        *,
        is_timely: bool = False,
    ) -> None:
        """`query_time` and `is_timely` are those of `TimeGate`."""
        self._venue = venue
        self._clock = clock or FeedClock()
        self._gate = TimeGate(venue, self._clock, query_time, is_timely=is_timely, borrowed=rules.borrowed_times)
        self._rules = rules
        self._observe_at = self._tick_at = 0
        self._trades: set[type] = set()
        """Types of trades: of the model, or a venue's own."""

    def __call__(self, items: list[Parsed]) -> list[Validated]:
        """Batches without their refused events, in the same order; an empty batch is dropped."""
        now = self._present()
        limit = now.feed + AHEAD_MS
        out: list[Validated] = []
        ahead: list[Batch] = []
        if self._gate.is_busy:
            items = by_instrument(items)
            self._look_again(items, out)
        elif _are_trades_ahead(items, limit):
            items = by_instrument(items)
        newest = 0
        for item in items:
            if type(item) is Batch:
                time = self._take_present(item, limit, ahead, out)
            elif type(item) is Trades:
                time = item.newest
                out.append(item)
            else:
                time = 0
                if ahead:
                    self._judge(ahead, items, out)
                    ahead = []
                out.append(item)
                self._note(item, out)
            if time > newest:  # noqa: PLR1730 - half of the cost of max()
                newest = time
        if newest:
            self._observe(newest, now)
        if ahead:
            self._judge(ahead, items, out)
        return out

    def _take_present(self, batch: Batch, limit: int, ahead: list[Batch], out: list[Validated]) -> int:
        """Takes a batch, or puts it to those that are `ahead` of the venue's time. Returns its newest event time, 0 of
        one that is ahead.
        """
        last = batch.events[-1]
        time = last.event_time
        is_trade = type(last) in self._trades
        if time > limit or (not is_trade and _is_any_ahead(batch, limit)):
            self._take_ahead(batch, ahead, out)
            return 0
        if is_trade:
            out.append(batch)
        else:
            self._take(batch, out)
        return time

    def _present(self) -> Now:
        now = self._clock.now()
        if now.local >= self._tick_at:
            self._tick_at = now.local + TICK_MS
            self._clock.tick(now.local)
        return now

    def _observe(self, newest: int, now: Now) -> None:
        """The newest event time of a poll that was believed at once."""
        if newest > now.feed + OBSERVE_MS or now.local >= self._observe_at:
            self._observe_at = now.local + OBSERVE_MS
            self._gate.passed(newest, now)
        if self._gate.has_claims and newest > now.feed - AHEAD_MS:
            self._gate.note_present()

    def _take(self, batch: Batch, out: list[Validated]) -> None:
        """A batch of which no event is ahead of the venue's time."""
        kind = type(batch.events[-1])
        if issubclass(kind, Trade):
            self._trades.add(kind)
        else:
            self._refuse_impossible(batch, out)
        if batch.events:
            out.append(batch)

    def _refuse_impossible(self, batch: Batch, out: list[Validated]) -> None:
        """Moves the impossible events of a batch to `out`."""
        rules = self._rules
        reasons = [fault_of(event, rules) for event in batch.events]
        if any(reasons):
            judged = list(zip(batch.events, reasons, strict=True))
            out.extend(rejected(batch.key.partition(":")[0], event, reason) for event, reason in judged if reason)
            batch.events = [event for event, reason in judged if not reason]

    # --- what is ahead of the venue's time ---

    def _take_ahead(self, batch: Batch, ahead: list[Batch], out: list[Validated]) -> None:
        """Times that count microseconds are only so large; then it may be as any other."""
        if batch.events[-1].event_time >= MICROSECONDS_FROM:
            batch.events = [_in_milliseconds(event) for event in batch.events]
        impossible = [event for event in batch.events if event.event_time >= LATEST_MS]
        self._refuse([Refused(batch.key, event, "its event time is beyond all bounds") for event in impossible], out)
        batch.events = [event for event in batch.events if event.event_time < LATEST_MS]
        if batch.events:
            ahead.append(batch)

    def _judge(self, ahead: list[Batch], items: list[Parsed], out: list[Validated]) -> None:
        now = self._clock.now()
        arrived = [item for item in by_instrument(items) if type(item) is Batch and item.events]
        self._pass(*self._gate.judge(ahead, arrived, now), out)

    def _look_again(self, items: list[Parsed], out: list[Validated]) -> None:
        """What earlier polls have left in doubt, in the light of this one."""
        now = self._clock.now()
        arrived = [item for item in items if type(item) is Batch and item.events[-1].event_time < LATEST_MS]
        self._pass(*self._gate.judge([], arrived, now), out)
        if (incident := self._gate.note_behind(arrived, now)) is not None:
            out.append(incident)

    def _pass(
        self, passed: list[Batch], refused: list[Refused], incidents: list[Incident], out: list[Validated]
    ) -> None:
        out += incidents
        self._refuse(refused, out)
        for batch in passed:
            newest = max(event.event_time for event in batch.events)
            self._gate.passed(newest, self._clock.now())
            self._take(batch, out)

    def _refuse(self, refused: list[Refused], out: list[Validated]) -> None:
        """Reports them, and names the instruments with trades among them: their sequences may lack some now."""
        out += [rejected(key.partition(":")[0], event, reason) for key, event, reason in refused]
        reasons = {key: reason for key, event, reason in refused if isinstance(event, Trade)}
        out += [InstrumentEvent(key, TradesRefused(reason)) for key, reason in reasons.items()]

    def _note(self, item: Parsed, out: list[Validated]) -> None:
        """What is no batch: the end of all, and which instruments there are."""
        match item:
            case Flush(final=True) if self._gate.held:
                out.pop()
                self._pass(*self._gate.end(), [], out)
                out.append(item)
            case Subscribed():
                self._gate.instruments.update(item.symbols)
            case Removed(is_gone=True):
                self._gate.instruments.difference_update(item.symbols)


def _are_trades_ahead(items: list[Parsed], limit: int) -> bool:
    """Whether one of trades that came together is: then they are looked at by instrument."""
    for item in items:  # noqa: SIM110 - a generator costs more than the two or three items of a live poll
        if type(item) is Trades and item.newest > limit:
            return True
    return False


def _is_any_ahead(batch: Batch, limit: int) -> bool:
    """Whether one of several events is; the last one of a poll vouches for none before it."""
    events = batch.events
    return len(events) > 1 and any(event.event_time > limit for event in events)


def _in_milliseconds(event: MarketEvent) -> MarketEvent:
    changes: dict[str, int] = {
        name: value // 1_000
        for name in _TIME_FIELDS
        if isinstance(value := getattr(event, name, None), int) and value >= MICROSECONDS_FROM
    }
    return structs.replace(event, **changes)
