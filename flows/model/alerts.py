"""Alerts: what a user wants to be notified of, and what has fired.

An arming of a rule fires at most once. Which armings there have been is counted (`number`), so an alert has the same
id however often it is sent, stored or computed again.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import isfinite
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from flows.model.printed import printed

AlertKind: TypeAlias = Literal[
    "price_above",
    "price_below",
    "price_cross",
    "price_change",
    "silence",
    "unsynced",
    "gap",
    "mismatch",
    "store_outage",
]
Direction: TypeAlias = Literal["either", "up", "down"]
Rearm: TypeAlias = Literal["once", "on_return", "after"]
"""When a rule that has fired may fire again: never; when what it watches is over; after a time."""

LEVEL_KINDS: Final[frozenset[AlertKind]] = frozenset(("price_above", "price_below", "price_cross"))
"""They compare prices with a level."""
PRICE_KINDS: Final[frozenset[AlertKind]] = LEVEL_KINDS | {"price_change"}
STATE_KINDS: Final[frozenset[AlertKind]] = frozenset(("silence", "unsynced", "store_outage"))
"""They watch states that last."""
INCIDENT_KINDS: Final[frozenset[AlertKind]] = frozenset(("gap", "mismatch"))
"""They watch incidents of the same name, which have no end."""

MOST_RULES: Final = 200
"""Most rules of the settings, and most of the interface."""
RULE_NAME: Final = r"[A-Za-z0-9_-]{1,64}"
"""The id of a rule."""
SHORTEST_SPAN_S: Final = 0.001
"""As short as the venues' times are exact: within less there is no trade."""
LONGEST_SPAN_S: Final = 86_400.0
LONGEST_REARM_S: Final = 31_536_000.0
MOST_PRICE: Final = 1e15
MOST_PERCENT: Final = 1_000_000.0
LASTS_S: Final[Mapping[AlertKind, float]] = {"silence": 10.0, "unsynced": 10.0, "store_outage": 0.0}
"""How long a state lasts before it is an alert, where the rule does not say it. At every start a book is not in sync
for a moment, and a line not connected.
"""


class AlertRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What to watch. A field that its kind does not need is None; `fault_of_rule` says what is wrong with one.

    `price` is the level of `price_above`, `price_below` and `price_cross`. `price_change` fires when the price differs
    by `percent` from one of the last `span_s` seconds. What lasts fires when it has lasted for `for_s` seconds.
    """

    id: str
    kind: AlertKind
    venue: str = ""
    """"": any."""
    symbol: str = ""
    """"": each one of the venue."""
    price: float | None = None
    percent: float | None = None
    span_s: float | None = None
    direction: Direction = "either"
    for_s: float | None = None
    rearm: Rearm = "once"
    rearm_s: float | None = None
    """With `after`: seconds of the venue's time since it fired."""
    is_stored: bool = False
    """Whether it was made at the interface; else it stands in the settings."""

    @property
    def lasts_ms(self) -> int:
        """How long a state lasts before it fires."""
        return int((LASTS_S.get(self.kind, 0.0) if self.for_s is None else self.for_s) * 1_000)


def fault_of_rule(rule: AlertRule) -> str:
    """Why a rule cannot be one, with the name of the field; empty when it can."""
    faults = (_fault_of_place, _fault_of_numbers, _fault_of_change, _fault_of_rearm)
    return next(filter(None, (fault(rule) for fault in faults)), "")


def _fault_of_place(rule: AlertRule) -> str:
    if rule.kind in LEVEL_KINDS and not rule.symbol:
        return f"symbol: {rule.kind} needs one, as in BTCUSDT"
    if rule.kind == "store_outage" and rule.symbol:
        return "symbol: store_outage is about a venue, and has none"
    return ""


_WHOLE: Final = 100.0
_BOUNDS: Final[Mapping[str, tuple[frozenset[AlertKind], bool, float, float]]] = {
    "price": (LEVEL_KINDS, True, 0.0, MOST_PRICE),
    "percent": (frozenset(("price_change",)), True, 0.0, MOST_PERCENT),
    "span_s": (frozenset(("price_change",)), True, 0.0, LONGEST_SPAN_S),
    "for_s": (STATE_KINDS, False, 0.0, LONGEST_SPAN_S),
}
"""Of each number: the kinds that have it, whether they need it, its least and its greatest value."""


def _fault_of_numbers(rule: AlertRule) -> str:
    for name, (kinds, is_needed, least, most) in _BOUNDS.items():
        value: float | None = getattr(rule, name)
        if rule.kind not in kinds:
            if value is not None:
                return f"{name}: {rule.kind} has none; leave it out"
            continue
        if value is None:
            if is_needed:
                return f"{name}: {rule.kind} needs it"
            continue
        if not (isfinite(value) and (least < value <= most or (not is_needed and value == least))):
            return f"{name}: write a number {'above' if is_needed else 'of at least'} {least:g}, at most {most:g}"
    return ""


def _fault_of_change(rule: AlertRule) -> str:
    if rule.direction != "either" and rule.kind != "price_change":
        return f"direction: {rule.kind} has none; leave it out"
    if rule.span_s is not None and rule.span_s < SHORTEST_SPAN_S:
        return f"span_s: write at least {SHORTEST_SPAN_S:g}"
    if rule.direction == "down" and (rule.percent or 0.0) > _WHOLE:
        return f"percent: no price falls by more than {_WHOLE:g}"
    return ""


def _fault_of_rearm(rule: AlertRule) -> str:
    if rule.rearm == "on_return" and rule.kind in INCIDENT_KINDS:
        return f"rearm: {rule.kind} has no end; write once, or after"
    if rule.rearm != "after":
        return "" if rule.rearm_s is None else f"rearm_s: it belongs to after, and rearm is {rule.rearm}"
    if rule.rearm_s is None or not 1 <= rule.rearm_s <= LONGEST_REARM_S:
        return f"rearm_s: write the seconds until it is armed again, from 1 to {LONGEST_REARM_S:g}"
    return ""


class PricePoint(Struct, frozen=True):
    """A trade as an alert names it."""

    price: float
    trade_id: int
    time: int
    """The exchange's, ms UTC."""


class Alert(Struct, frozen=True):
    """A rule has fired, and what it saw."""

    id: str
    rule: AlertRule
    venue: str
    symbol: str
    """"" where it is about a whole venue."""
    number: int
    """The how manieth of this rule at this instrument, from 1."""
    since: int
    """Since when the rule is watched, ms UTC; with `number` it tells one arming from every other."""
    time: int
    """Venue time of what it saw, ms UTC; 0 where that is not known."""
    seen: PricePoint | None = None
    """The trade whose price made it fire."""
    before: PricePoint | None = None
    """Of `price_change`: the trade that it differs from."""
    percent: float | None = None
    """Of `price_change`: by how much, below 0 for a fall."""
    state: str = ""
    """The state that lasts, or the kind of the incident."""
    state_since: int = 0
    """Venue time when it began, ms UTC; 0 where that is not known."""
    reason: str = ""
    """Why the state is so, or the cause of the incident."""


class LastAlert(Struct, frozen=True):
    """What is known of the newest alert of a rule at an instrument."""

    rule: AlertRule
    since: int
    number: int
    time: int


class WatchedRule(Struct, frozen=True):
    """A rule to watch, since when, and what it fired last, as far as that is known."""

    rule: AlertRule
    since: int
    last: LastAlert | None = None


def alert_id(rule: str, venue: str, symbol: str, since: int, number: int) -> str:
    """The id of an alert: of an arming, whatever made it fire. ASCII."""
    digest = blake2b(f"{rule}\n{venue}\n{symbol}\n{since}\n{number}".encode(), digest_size=8).hexdigest()
    return f"{rule}-{number}-{digest}"


def describe_alert(alert: Alert) -> str:
    """The alert as a sentence for people."""
    where = f"{alert.symbol} at {alert.venue}" if alert.symbol else alert.venue
    rule, seen, before = alert.rule, alert.seen, alert.before
    if seen is None:
        held = f" for {_plain(rule.lasts_ms / 1_000)} s" if rule.lasts_ms else ""
        return f"{where}: {_WORDS[rule.kind]}{held}" + (f": {alert.reason}" if alert.reason else "")
    at = f"trade {seen.trade_id}"
    if before is None:
        return f"{where}: {_plain(seen.price)} {_WORDS[rule.kind]} {_plain(rule.price)} ({at})"
    prices = f"from {_plain(before.price)} to {_plain(seen.price)}"
    return f"{where}: {printed(alert.percent or 0.0):+.2f} % within {_plain(rule.span_s)} s, {prices} ({at})"


def _plain(value: float | None) -> str:
    return f"{value or 0.0:.15g}"


_WORDS: Final[Mapping[AlertKind, str]] = {
    "price_above": "is above",
    "price_below": "is below",
    "price_cross": "has crossed",
    "price_change": "has changed",
    "silence": "no current trades",
    "unsynced": "the order book is not known to be right",
    "gap": "trades are missing",
    "mismatch": "a figure differs from the exchange's",
    "store_outage": "a store takes nothing",
}


class RuleBook(Struct, frozen=True):
    """The rules that are watched now. It is replaced when one is added or removed, and never changed."""

    rules: tuple[WatchedRule, ...] = ()
    is_complete: bool = True
    """False until the stored rules have been read: those of the recovered state hold so long."""
    fired: Mapping[tuple[str, str, str], LastAlert] = {}
    """By rule, venue and symbol, what had fired when this process started."""

    def at(
        self, venue: str, symbol: str, own_name: Callable[[str], str] = lambda symbol: symbol
    ) -> tuple[WatchedRule, ...]:
        """The rules of an instrument; without a symbol those of the venue itself. `own_name` gives the venue's own name
        of what a rule names.
        """
        return tuple(
            self._with_last(watched, venue, symbol)
            for watched in self.rules
            if watched.rule.venue in ("", venue)
            and (watched.rule.kind == "store_outage") == (not symbol)
            and (not watched.rule.symbol or own_name(watched.rule.symbol) == symbol)
        )

    def _with_last(self, watched: WatchedRule, venue: str, symbol: str) -> WatchedRule:
        """One whose terms are still those that fired is watched since then."""
        last = self.fired.get((watched.rule.id, venue, symbol))
        if last is None or last.rule != watched.rule:
            return watched
        return WatchedRule(watched.rule, last.since, last)
