"""What the rules of each instrument need, out of everything that passes: trades in sequence, states, incidents.

The rules themselves come on the same way, before the first item that they may decide about: so every machine has them,
also one that was recovered, and it costs nothing but a look at each batch where there are none.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Struct

from flows.clock import LEAP_MS, monotonic_ms
from flows.model import ChannelStatus, Incident, Instrument, InstrumentStatus, Removed, TradeBatch
from flows.model.alerts import INCIDENT_KINDS, RuleBook, WatchedRule

SETTLE_MS: Final = 5_000
"""Time after a pause of the process in which trades make nothing fire."""
MOST_KNOWN: Final = 10_000
"""Instruments whose rules are remembered; beyond that all of them get theirs anew."""


class RuleSet(Struct, frozen=True):
    """The rules of an instrument, or of a venue. While it is not complete, stored rules of the recovered state hold."""

    rules: tuple[WatchedRule, ...]
    is_complete: bool = True


class Unfollowed(Struct, frozen=True):
    """The instrument is not followed any more: nothing is known of it until it is again."""


class Paused(Struct, frozen=True):
    """The process has stood still: what comes now may have waited for it, and the venue's time is not known so well."""

    for_ms: int
    """How long that is so."""


class StoreState(Struct, frozen=True):
    """The state of the stores of a venue."""

    status: ChannelStatus


AlertInput: TypeAlias = RuleSet | TradeBatch | InstrumentStatus | Incident | StoreState | Unfollowed | Paused
"""Input of the alerts of one instrument, or of a venue."""


class _Sent(NamedTuple):
    """What a machine was given last."""

    rules: tuple[WatchedRule, ...]
    is_complete: bool


class AlertInputs:
    """Gives each item the key of its instrument, where a rule watches it; the stores' state that of the venue."""

    def __init__(
        self,
        venue: str,
        rules: Callable[[], RuleBook],
        own_name: Callable[[str], str],
        local_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        """`rules` are the present ones; `own_name` is the venue's own name of a symbol."""
        self._local_ms = local_ms
        self._called_ms = local_ms()
        self._paused: set[str] = set()
        """Symbols that are still to learn that the process has stood still."""
        self._venue = venue
        self._read_rules = rules
        self._own_name = own_name
        self._book = RuleBook()
        self._rules: dict[str, tuple[WatchedRule, ...]] = {}
        """By symbol, "" for the venue, the rules of the book."""
        self._sent: dict[str, _Sent] = {}
        self._store: ChannelStatus | None = None
        self._statuses: dict[str, InstrumentStatus] = {}
        """The newest of each symbol: what is said again only after seconds, and a rule that comes needs at once."""

    def __call__(self, items: list[Any]) -> list[tuple[str, AlertInput]]:
        """The inputs of the machines."""
        book, out = self._read_rules(), list[tuple[str, AlertInput]]()
        is_new = book is not self._book
        if is_new or len(self._rules) > MOST_KNOWN:
            self._book = book
            self._rules.clear()
            if len(self._sent) > MOST_KNOWN:
                self._sent.clear()
                self._statuses.clear()
        self._look_at_clock()
        if is_new:
            self._route_known(out)
        for item in items:
            if type(item) is TradeBatch:
                self._route(item.symbol, item, out)
            else:
                self._take(item, out)
        return out

    def _take(self, item: Any, out: list[tuple[str, AlertInput]]) -> None:
        """What is no batch of trades."""
        kind = type(item)
        if kind is InstrumentStatus:
            self._rules.pop(item.symbol, None)  # the venue's names may be known by now
            self._statuses[item.symbol] = item
            self._route(item.symbol, item, out)
            self._route_store(item, out)
        elif kind is Incident:
            if item.kind in INCIDENT_KINDS and item.symbol:
                self._route(item.symbol, item, out)
        elif kind is Removed and item.is_gone:
            for symbol in item.symbols:
                self._statuses.pop(symbol, None)
                self._route(symbol, Unfollowed(), out)

    def _look_at_clock(self) -> None:
        local, before = self._local_ms(), self._called_ms
        self._called_ms = local
        if local - before > LEAP_MS:
            self._paused = set(self._sent)

    def _route(self, symbol: str, item: AlertInput, out: list[tuple[str, AlertInput]]) -> None:
        rules = self._rules.get(symbol)
        if rules is None:
            rules = self._rules[symbol] = self._book.at(self._venue, symbol, self._own_name)
        sent, now = self._sent.get(symbol), _Sent(rules, self._book.is_complete)
        if not rules and now.is_complete and not (sent and (sent.rules or not sent.is_complete)):
            return
        key = Instrument(self._venue, symbol).key
        if sent != now:
            self._sent[symbol] = now
            out.append((key, RuleSet(rules, now.is_complete)))
        if symbol in self._paused:
            self._paused.discard(symbol)
            out.append((key, Paused(SETTLE_MS)))
        out.append((key, item))

    def _route_known(self, out: list[tuple[str, AlertInput]]) -> None:
        """Gives other rules what is known of the instruments and the stores they watch, before anything else comes."""
        for status in self._statuses.values():
            self._route(status.symbol, status, out)
        if self._store is not None:
            self._route("", StoreState(self._store), out)

    def _route_store(self, status: InstrumentStatus, out: list[tuple[str, AlertInput]]) -> None:
        """The stores are those of the venue: each instrument says the same of them."""
        store = next((one for one in status.channels if one.channel == "store"), None)
        if store is None:
            return
        before = self._store and (self._store.state, self._store.reason)
        is_new = "" not in self._rules
        if is_new or before != (store.state, store.reason):
            self._store = store
            self._route("", StoreState(store), out)
