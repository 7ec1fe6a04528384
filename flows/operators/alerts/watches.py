"""What each kind of rule watches, and what it says when it fires. Pure."""

from collections.abc import Collection
from typing import Final, NamedTuple, TypeAlias

from flows.clock import Now
from flows.model import ChannelState, ChannelStatus, FreshnessChannel, Incident
from flows.model.alerts import (
    INCIDENT_KINDS,
    PRICE_KINDS,
    Alert,
    AlertKind,
    AlertRule,
    PricePoint,
    WatchedRule,
    alert_id,
)
from flows.model.printed import change_of
from flows.operators.alerts.span import PriceSpan
from flows.operators.alerts.trigger import Trigger

CHANNEL_OF: Final[dict[AlertKind, FreshnessChannel]] = {
    "silence": "trades",
    "unsynced": "book",
    "store_outage": "store",
}
"""The channel whose state a rule watches."""
HOLDS_IN: Final[dict[AlertKind, frozenset[ChannelState]]] = {
    "silence": frozenset(("silent", "cut", "connecting", "behind")),
    "unsynced": frozenset(("unsynced",)),
    "store_outage": frozenset(("not stored",)),
}
"""The states in which it holds. That an exchange halts an instrument, or lists it no more, is no silence."""


_NEARLY: Final = 0.999
"""What is surely less than a change that counts, whatever the rounding."""


class WatchState(NamedTuple):
    """The recovered state of a watch."""

    rule: AlertRule
    since: int
    number: int
    fired_at: int | None
    base: int = 0
    side: int = 0
    lows: tuple[PricePoint, ...] = ()
    highs: tuple[PricePoint, ...] = ()


class Watch:
    """One rule at one instrument: its armings, and its alerts."""

    def __init__(self, venue: str, symbol: str, kept: WatchState) -> None:
        self._venue = venue
        self._symbol = symbol
        self.trigger = Trigger(kept.rule, kept.since, kept.number, kept.fired_at)

    @property
    def rule(self) -> AlertRule:
        """The rule."""
        return self.trigger.rule

    def kept(self) -> WatchState:
        """The state to recover from."""
        trigger = self.trigger
        return WatchState(trigger.rule, trigger.since, trigger.number, trigger.fired_at)

    def _alert(self, time: int, **saw: object) -> Alert:
        rule, since, number = self.rule, self.trigger.since, self.trigger.number
        id_ = alert_id(rule.id, self._venue, self._symbol, since, number)
        return Alert(id_, rule, self._venue, self._symbol, number, since, time, **saw)  # type: ignore[arg-type]


class PriceWatch(Watch):
    """A price against a level. `price_cross` holds while the price is not on the side on which it was armed; a price at
    the level is on neither.
    """

    def __init__(self, venue: str, symbol: str, kept: WatchState) -> None:
        super().__init__(venue, symbol, kept)
        self._level = kept.rule.price or 0.0
        self._base, self._side = kept.base, kept.side

    def kept(self) -> WatchState:
        """The state to recover from."""
        return super().kept()._replace(base=self._base, side=self._side)

    def evaluate(self, point: PricePoint) -> Alert | None:
        """A fresh trade, which was added."""
        before = self._side
        self._side = (point.price > self._level) - (point.price < self._level) or before
        holds = self._holds(point)
        if self.trigger.rearm(point.time, holds=holds) and self.rule.rearm == "after" and before:
            self._base = before
            holds = self._holds(point)
        return self._alert(point.time, seen=point) if self.trigger.fire(point.time, holds=holds) else None

    def _holds(self, point: PricePoint) -> bool:
        match self.rule.kind:
            case "price_above":
                return point.price > self._level
            case "price_below":
                return point.price < self._level
            case _:
                self._base = self._base or self._side
                return self._side != self._base


class ChangeWatch(Watch):
    """A price against those of the span before it. Trades that are not fresh are a part of the span all the same."""

    def __init__(self, venue: str, symbol: str, kept: WatchState) -> None:
        super().__init__(venue, symbol, kept)
        self._span = PriceSpan(int((kept.rule.span_s or 0.0) * 1_000))
        self._span.restore(kept.lows, kept.highs)
        self._least = (kept.rule.percent or 0.0) / 100 * _NEARLY

    def kept(self) -> WatchState:
        """The state to recover from."""
        lows, highs = self._span.kept()
        return super().kept()._replace(lows=lows, highs=highs)

    def add(self, point: PricePoint) -> None:
        """The next trade, fresh or not."""
        self._span.add(point)

    def forget(self, ids: Collection[int]) -> None:
        """Trades that were wrong."""
        self._span.forget(ids)

    def evaluate(self, point: PricePoint) -> Alert | None:
        """A fresh trade, which was added."""
        before, percent = self._greatest_change(point) if self._may_hold(point.price) else (None, 0.0)
        holds = before is not None and abs(percent) >= (self.rule.percent or 0.0)
        self.trigger.rearm(point.time, holds=holds)
        if not self.trigger.fire(point.time, holds=holds):
            return None
        return self._alert(point.time, seen=point, before=before, percent=percent)

    def _may_hold(self, price: float) -> bool:
        """Whether the change may be large enough: a test that costs little, for nearly every trade it is not."""
        low, high, least = self._span.low, self._span.high, self._least
        return (low is not None and price - low.price >= least * low.price) or (
            high is not None and high.price - price >= least * high.price
        )

    def _greatest_change(self, point: PricePoint) -> tuple[PricePoint | None, float]:
        """The price that differs most in the rule's direction, and by how many percent."""
        found: tuple[PricePoint | None, float] = (None, 0.0)
        for direction, extreme in (("up", self._span.low), ("down", self._span.high)):
            if extreme is None or self.rule.direction not in ("either", direction):
                continue
            percent = change_of(extreme.price, point.price)[1]
            if (percent > 0) == (direction == "up") and abs(percent) > abs(found[1]):
                found = extreme, percent
        return found


class StateOf(NamedTuple):
    """The state of a channel."""

    state: ChannelState
    since: int
    """Venue time, ms UTC; 0 where that is not known."""
    reason: str

    @classmethod
    def of(cls, status: ChannelStatus) -> "StateOf":
        """From the model."""
        return cls(status.state, status.since, status.reason)


class StateWatch(Watch):
    """A state that lasts, by the local clock from when it was first seen: after a restart it lasts anew."""

    def __init__(self, venue: str, symbol: str, kept: WatchState) -> None:
        super().__init__(venue, symbol, kept)
        self._states = HOLDS_IN[kept.rule.kind]
        self._began: int | None = None
        """Local time since when it holds."""
        self._known: StateOf | None = None
        """None until one is known: after a start nothing is known to be over."""

    def take(self, known: StateOf, now: Now) -> Alert | None:
        """The present state."""
        self.note(known, now)
        return self.on_time(now)

    def note(self, known: StateOf, now: Now) -> None:
        """The same, before it decides anything."""
        if known.state not in self._states:
            self._began = None
        elif self._began is None:
            self._began = now.local
        self._known = known

    def forget(self) -> None:
        """There is no state any more: nothing is known to be over, and nothing lasts."""
        self._began = self._known = None

    def on_time(self, now: Now) -> Alert | None:
        """Time has passed."""
        known = self._known
        if known is None:
            return None
        holds = self._began is not None and now.local - self._began >= self.rule.lasts_ms
        self.trigger.rearm(now.feed, holds=self._began is not None)
        if not self.trigger.fire(now.feed, holds=holds):
            return None
        return self._alert(now.feed, state=known.state, state_since=known.since, reason=known.reason)

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until it may fire; None while it cannot."""
        if self._began is None:
            return None
        wait_ms = self._began + self.rule.lasts_ms - now.local
        rearm_ms = self.trigger.rearm_in(now.feed)
        return None if rearm_ms is None else max(0, wait_ms, rearm_ms)


class IncidentWatch(Watch):
    """Incidents of a kind."""

    def take(self, incident: Incident, now: Now) -> Alert | None:
        """An incident of any kind."""
        if incident.kind != self.rule.kind:
            return None
        time = now.feed or incident.end
        self.trigger.rearm(time, holds=True)
        if not self.trigger.fire(time, holds=True):
            return None
        return self._alert(time, state=incident.kind, state_since=incident.begin, reason=incident.cause)


AnyWatch: TypeAlias = PriceWatch | ChangeWatch | StateWatch | IncidentWatch


def restored_watch(venue: str, symbol: str, kept: WatchState) -> AnyWatch:
    """The watch of a state."""
    kind = kept.rule.kind
    if kind == "price_change":
        return ChangeWatch(venue, symbol, kept)
    if kind in PRICE_KINDS:
        return PriceWatch(venue, symbol, kept)
    if kind in INCIDENT_KINDS:
        return IncidentWatch(venue, symbol, kept)
    return StateWatch(venue, symbol, kept)


def new_watch(venue: str, symbol: str, watched: WatchedRule, number: int) -> AnyWatch:
    """The watch of a rule that is new; `number` is the number of its newest alert with other terms."""
    return restored_watch(venue, symbol, WatchState(watched.rule, watched.since, number, None))
