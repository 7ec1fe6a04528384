"""The machine of the alerts of one instrument, or of one venue.

A rule about prices fires on trades that are vouched for: in sequence, so that nothing before them is missing; not older
than a bound, by the venue's time; and while their channel is live. Trades that were refilled later, corrected, or came
while the process did not run are a part of what was, and make nothing fire: the first one that is vouched for does, if
the rule still holds.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from flows.clock import Now
from flows.model import MARKET_FILL, Incident, Instrument, InstrumentStatus, TradeBatch
from flows.model.alerts import Alert, PricePoint
from flows.operators.alerts.inputs import AlertInput, Paused, RuleSet, StoreState, Unfollowed
from flows.operators.alerts.watches import (
    CHANNEL_OF,
    AnyWatch,
    ChangeWatch,
    IncidentWatch,
    PriceWatch,
    StateOf,
    StateWatch,
    WatchState,
    new_watch,
    restored_watch,
)
from flows.operators.state_version import restore
from flows.queries import Query

STATE_VERSION: Final = 1
CURRENT: Final = frozenset(("live", "quiet"))
"""States of the channel of trades in which they are vouched for."""


class KeptState(NamedTuple):
    """The form of the recovered state."""

    version: int
    watches: list[WatchState]


class AlertKeeper:
    """See the module. The key is `venue:symbol`, without a symbol for what concerns the venue.

    Grows with the rules, which are bounded. After a start it does nothing before it has its rules.
    """

    def __init__(self, key: str, *, fresh_ms: int, state: Any = None) -> None:
        """A trade older than `fresh_ms` makes nothing fire. `StateVersionError` for a state of another version or
        form.
        """
        self._venue, self._symbol = Instrument.of(key)
        self._fresh_ms = fresh_ms
        self._watches: dict[str, AnyWatch] = {}
        self._has_rules = False
        self._states: dict[str, StateOf] = {}
        """By channel, as far as they are known."""
        self._settled_at = 0
        """Local time from which on trades are as new as the venue's time says."""
        self._waiting: PricePoint | None = None
        """The newest trade, while nothing vouches for it yet."""
        if state is not None:
            kept = restore(state, STATE_VERSION, KeptState, f"the alerts of {key}")
            self._set(restored_watch(self._venue, self._symbol, one) for one in kept.watches)

    # --- inputs ------------------------------------------------------------------------------------------------------

    def on_events(self, events: AlertInput, now: Now) -> list[Alert]:
        """Takes rules, trades, states or an incident."""
        if isinstance(events, RuleSet):
            self._on_rules(events, now)
            return self.on_timer(now)
        return self._on_event(events, now) if self._has_rules else []

    def _on_event(
        self, event: TradeBatch | InstrumentStatus | Incident | StoreState | Unfollowed | Paused, now: Now
    ) -> list[Alert]:
        match event:
            case TradeBatch():
                return self._on_trades(event, now)
            case InstrumentStatus():
                return self._on_states({one.channel: StateOf.of(one) for one in event.channels}, now)
            case StoreState():
                return self._on_states({"store": StateOf.of(event.status)}, now)
            case Incident():
                watches = (watch for watch in self._watches.values() if isinstance(watch, IncidentWatch))
                return _fired(watch.take(event, now) for watch in watches)
            case Unfollowed():
                self._forget()
            case Paused():
                self._settled_at = now.local + event.for_ms
        return []

    def on_timer(self, now: Now) -> list[Alert]:
        """A state may have lasted for long enough."""
        return _fired(watch.on_time(now) for watch in self._of_states) if self._has_rules else []

    def on_answer(self, query: Query, answer: Any, now: Now) -> list[Alert]:  # noqa: ARG002 - as of every machine
        """There are no queries."""
        return []

    def on_end(self, now: Now) -> list[Alert]:  # noqa: ARG002 - as of every machine
        """Nothing is held back."""
        return []

    def due_in(self, now: Now) -> int | None:
        """When a state may have lasted for long enough; None while none lasts."""
        if not self._has_rules:
            return None
        return min((due for watch in self._of_states if (due := watch.due_in(now)) is not None), default=None)

    def snapshot(self) -> KeptState:
        """The armings of all rules, and what they compare with."""
        return KeptState(STATE_VERSION, [watch.kept() for watch in self._watches.values()])

    # --- rules -------------------------------------------------------------------------------------------------------

    def _on_rules(self, given: RuleSet, now: Now) -> None:
        """A rule with the same terms goes on as it was; other terms are another arming."""
        found: dict[str, AnyWatch] = {}
        for watched in given.rules:
            watch = self._watches.get(watched.rule.id)
            if watch is None or watch.rule != watched.rule:
                watch = new_watch(self._venue, self._symbol, watched, watch.trigger.number if watch else 0)
            watch.trigger.adopt(watched.last)
            found[watched.rule.id] = watch
        if not given.is_complete:
            found |= {name: one for name, one in self._watches.items() if one.rule.is_stored and name not in found}
        new = [watch for watch in found.values() if watch is not self._watches.get(watch.rule.id)]
        self._set(found.values())
        self._has_rules = True
        for watch in new:
            if isinstance(watch, StateWatch) and (known := self._states.get(CHANNEL_OF[watch.rule.kind])):
                watch.note(known, now)

    def _set(self, watches: Iterable[AnyWatch]) -> None:
        self._watches = {watch.rule.id: watch for watch in watches}
        self._of_prices = [one for one in self._watches.values() if isinstance(one, PriceWatch | ChangeWatch)]
        self._of_changes = [one for one in self._of_prices if isinstance(one, ChangeWatch)]
        self._of_states = [one for one in self._watches.values() if isinstance(one, StateWatch)]

    # --- prices ------------------------------------------------------------------------------------------------------

    def _on_trades(self, batch: TradeBatch, now: Now) -> list[Alert]:
        if not self._of_prices:
            return []
        if batch.late or batch.replaced:
            self._forget_trades(batch)
            return []
        out: list[Alert] = []
        is_current = self._is_current
        for trade in batch.trades:
            if trade.fill != MARKET_FILL:
                continue
            point = PricePoint(trade.price, trade.id, trade.time)
            for watch in self._of_changes:
                watch.add(point)
            if is_current and self._is_fresh(point, now):
                self._waiting = None
                out += self._evaluate(point)
            else:
                self._waiting = point
        return out

    @property
    def _is_current(self) -> bool:
        known = self._states.get("trades")
        return known is not None and known.state in CURRENT

    def _is_fresh(self, point: PricePoint, now: Now) -> bool:
        return now.feed > 0 and now.feed - point.time <= self._fresh_ms and now.local >= self._settled_at

    def _evaluate(self, point: PricePoint) -> list[Alert]:
        return _fired(watch.evaluate(point) for watch in self._of_prices)

    def _forget_trades(self, batch: TradeBatch) -> None:
        ids = frozenset(trade.id for trade in batch.replaced)
        for watch in self._of_changes if ids else ():
            watch.forget(ids)
        if self._waiting is not None and self._waiting.trade_id in ids:
            self._waiting = None

    # --- states ------------------------------------------------------------------------------------------------------

    def _on_states(self, states: dict[str, StateOf], now: Now) -> list[Alert]:
        self._states = states
        out: list[Alert] = []
        for watch in self._of_states:
            known = states.get(CHANNEL_OF[watch.rule.kind])
            if known is None:
                watch.forget()
            else:
                out += _fired([watch.take(known, now)])
        waiting = self._waiting
        if waiting is not None and self._is_current and self._is_fresh(waiting, now):
            self._waiting = None
            out += self._evaluate(waiting)
        return out

    def _forget(self) -> None:
        self._states, self._waiting = {}, None
        for watch in self._of_states:
            watch.forget()


def _fired(alerts: Iterable[Alert | None]) -> list[Alert]:
    return [alert for alert in alerts if alert is not None]
