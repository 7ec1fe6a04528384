"""The followed symbols: those of the settings and of the desired subscriptions, as far as the venue lists them."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol
from zlib import crc32

import structlog
from msgspec.structs import replace

from flows.clock import wall_ms
from flows.foreign import quoted
from flows.model import Capability, Incident, IncidentKind, ListedInstrument, TradingStatus
from flows.names import SYMBOL_LENGTH, is_symbol, symbol_of
from flows.settings import Feed
from flows.spellings import Catalogue
from sinks.mongo.commands import DesiredSubscription
from sources.feed import DesiredStreams, nearest_names

TRADING = "TRADING"
"""The venue's status of an instrument that trades."""
OTHER_STATUS = "UNKNOWN"
"""Replaces a status that is no word in capitals."""
RETRY_S = 60.0
"""Time until the next query of the venue's instruments when it did not answer, or left out followed ones."""
DOUBT_S = 20.0
"""Least time between two queries of the venue's instruments because of symbols whose status may have changed."""

_STATUS = re.compile(r"[A-Z_]{1,32}")
_log = structlog.get_logger(__name__)

Statuses = Mapping[str, str]
"""Every instrument of a venue and its status; empty until the venue's list is known."""


def listed_in(found: Iterable[ListedInstrument]) -> dict[str, ListedInstrument]:
    """The instruments of a venue's list with a valid name (`flows/names.py`), by name."""
    return {
        one.symbol: one if _STATUS.fullmatch(one.status) else replace(one, status=OTHER_STATUS)
        for one in found
        if is_symbol(one.symbol)
    }


def statuses_of(listed: Mapping[str, ListedInstrument]) -> dict[str, str]:
    """The status of each instrument."""
    return {symbol: one.status for symbol, one in listed.items()}


class Wanted(NamedTuple):
    """The subscriptions of a process."""

    streams: dict[str, tuple[str, ...]]
    """By symbol the kinds of streams; empty for the default."""
    not_trading: frozenset[str]
    """Those of them that do not trade at present."""
    refused: dict[str, str]
    """Symbols of refused subscriptions, and why."""
    unlisted: frozenset[str]
    """Its symbols that the venue does not list. They are not subscribed: a venue may refuse all streams for one
    unknown.
    """


def wanted(
    feed: Feed,
    subscriptions: Iterable[DesiredSubscription],
    statuses: Statuses,
    name_of: Callable[[str], str | None] = symbol_of,
) -> Wanted:
    """The symbols of the settings and of the desired subscriptions, without unwanted ones; of these the share of this
    process. Until the venue's list is known, every symbol counts as trading. `name_of` gives the venue's own name of a
    spelling, None of an unknown one.
    """
    chosen: dict[str, tuple[str, ...]] = {name_of(symbol) or symbol: () for symbol in feed.symbols}
    refused: dict[str, str] = {}
    for subscription in subscriptions:
        try:
            symbol = name_of(subscription.symbol) or symbol_of(subscription.symbol)
        except ValueError as error:
            refused[subscription.symbol] = str(error)
            continue
        if not subscription.wanted:
            chosen.pop(symbol, None)
        elif reason := feed.refusal_of(subscription.streams):
            refused[symbol] = reason
        else:
            chosen[symbol] = subscription.streams
    own = {symbol: kinds for symbol, kinds in chosen.items() if is_own(feed, symbol)}
    unlisted = frozenset(symbol for symbol in own if statuses and symbol not in statuses)
    followed = {symbol: kinds for symbol, kinds in own.items() if symbol not in unlisted}
    not_trading = frozenset(symbol for symbol in followed if statuses and statuses[symbol] != TRADING)
    return Wanted(followed, not_trading, refused, unlisted)


def is_own(feed: Feed, symbol: str) -> bool:
    """Whether a symbol is in this process's share: one of the settings by its place in them, another by its name."""
    if symbol in feed.symbols:
        return symbol in feed.own_symbols
    index, count = feed.share
    return crc32(symbol.encode()) % count == index - 1


class Follow(Protocol):
    """Sets the subscriptions of a source, at once and from any thread."""

    def __call__(self, desired: DesiredStreams, *, not_trading: frozenset[str]) -> None:
        """The silence of symbols in `not_trading` raises no alarm."""


class SubscriptionStore(Protocol):
    """Stores subscriptions and instruments. Every method may raise `PyMongoError`."""

    def subscriptions(self, venue: str) -> list[DesiredSubscription]:
        """All stored subscriptions."""

    def propose(self, subscriptions: Iterable[DesiredSubscription]) -> None:
        """Stores subscriptions for symbols that have none yet."""

    def publish_instruments(self, venue: str, instruments: Iterable[ListedInstrument]) -> None:
        """Stores the venue's instruments."""

    def publish_capabilities(self, venue: str, capabilities: Iterable[Capability]) -> None:
        """Stores what is proven of the venue's data."""


class SubscriptionController:
    """Applies the desired subscriptions in MongoDB to the source, stores there the symbols of the settings and the
    venue's instruments, and announces each symbol's status.

    A symbol of the settings is stored as wanted when it has no subscription yet. From then on the last change in
    MongoDB counts, also after a restart. While MongoDB cannot be read, the subscriptions that were read last count.
    """

    def __init__(
        self,
        commands: SubscriptionStore,
        *,
        feed: Feed,
        follow: Follow,
        announce: Callable[[TradingStatus], None],
        query_instruments: Callable[[], Iterable[ListedInstrument] | None],
        report: Callable[[Incident], None],
        catalogue: Catalogue,
        capabilities: Iterable[Capability] = (),
        instruments: Iterable[ListedInstrument] | None = None,
        doubtful: Callable[[], frozenset[str]] = frozenset,
        local_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`query_instruments` gets the venue's instruments, None when it does not answer; `instruments` are those that
        are known. `catalogue` gets them too. `capabilities` are those of the venue, which are stored. `announce` gets
        the status of each symbol when it is first known, and whenever it changes. `doubtful` gives the symbols whose
        status may have changed: as long as one is among them it brings one query forward.
        """
        self._commands = commands
        self._feed = feed
        self._follow = follow
        self._announce = announce
        self._query_instruments = query_instruments
        self._catalogue = catalogue
        self._capabilities = tuple(capabilities)
        self._is_described = False
        self._report = report
        self._doubtful = doubtful
        self._in_doubt: frozenset[str] = frozenset()
        self._doubt_at = local_s()
        self._local_s = local_s
        self._set_list(listed_in(instruments or ()))
        self._is_published = not self._listed
        self._query_at = local_s() + feed.symbols_minutes * 60 if self._listed else local_s()
        self._missing: frozenset[str] = frozenset()
        """Followed symbols that the newest list left out."""
        self._subscriptions: list[DesiredSubscription] = []
        self._found = Wanted({}, frozenset(), {}, frozenset())
        self._announced: dict[str, str] = {}
        self._seen: tuple[list[DesiredSubscription], Statuses] | None = None

    def follows(self, symbol: str) -> bool:
        """Whether a symbol is followed by this process; called from the poller's thread."""
        return symbol in self._found.streams

    def look(self) -> None:
        """Applies changed subscriptions. `PyMongoError` when they cannot be read or written."""
        if self._local_s() >= self._query_at or self._has_new_doubt():
            self._refresh()
        venue = self._feed.venue
        try:
            self._subscriptions = self._commands.subscriptions(venue)
        finally:
            self._turn()
        known = {subscription.symbol for subscription in self._subscriptions}
        self._commands.propose(
            DesiredSubscription(venue, name, wanted=True)
            for name in dict.fromkeys(self._own(symbol) or symbol for symbol in self._feed.symbols)
            if name not in known
        )
        if not self._is_described:
            self._commands.publish_capabilities(venue, self._capabilities)
            self._is_described = True
        if not self._is_published:
            self._commands.publish_instruments(venue, self._listed.values())
            self._is_published = True

    def _has_new_doubt(self) -> bool:
        """Whether the status of a symbol may have changed, for which the venue was not queried yet."""
        doubtful, now_s = self._doubtful(), self._local_s()
        if doubtful <= self._in_doubt:
            self._in_doubt = doubtful
            return False
        if now_s < self._doubt_at:
            return False
        self._in_doubt, self._doubt_at = doubtful, now_s + DOUBT_S
        _log.info("symbols_in_doubt", venue=self._feed.venue, symbols=sorted(doubtful))
        return True

    def _own(self, spelling: str) -> str | None:
        return self._catalogue.symbol(self._feed.venue, spelling)

    def _set_list(self, listed: dict[str, ListedInstrument]) -> None:
        self._listed = listed
        self._statuses: Statuses = statuses_of(listed)
        if listed:
            self._catalogue.put(self._feed.venue, listed.values())

    def _refresh(self) -> None:
        """Queries the venue's list. A followed symbol only counts as unlisted when two lists in a row leave it out: one
        may be incomplete.
        """
        found = listed_in(self._query_instruments() or ())
        missing = frozenset(self._found.streams.keys() & self._statuses.keys() - found.keys()) if found else frozenset()
        doubted = missing - self._missing
        wait_s = RETRY_S if doubted or not found else self._feed.symbols_minutes * 60
        self._query_at = self._local_s() + wait_s
        if found:
            self._missing = missing
            self._set_list(found | {symbol: self._listed[symbol] for symbol in doubted})
            self._is_published = False

    def _turn(self) -> None:
        if (self._subscriptions, self._statuses) == self._seen:
            return
        self._seen = self._subscriptions, self._statuses
        before, found = self._found, wanted(self._feed, self._subscriptions, self._statuses, self._own)
        self._found = found
        for symbol, reason in found.refused.items():
            if before.refused.get(symbol) != reason:
                _log.warning("subscription_refused", symbol=symbol[:SYMBOL_LENGTH], reason=reason)
        for symbol in sorted(found.unlisted - before.unlisted):
            self._report_unlisted(symbol, was_followed=symbol in before.streams)
        for symbol in sorted(found.not_trading - before.not_trading):
            self._report_stale(symbol)
        if (found.streams, found.not_trading) != (before.streams, before.not_trading):
            more, less = found.streams.keys() - before.streams.keys(), before.streams.keys() - found.streams.keys()
            _log.info("subscriptions_changed", followed=len(found.streams), more=sorted(more), less=sorted(less))
            self._follow(found.streams, not_trading=found.not_trading)
        self._announce_changes(found)

    def _announce_changes(self, found: Wanted) -> None:
        if not self._statuses:
            return
        now = {symbol: self._statuses.get(symbol, "") for symbol in (*found.streams, *found.unlisted)}
        by_status: defaultdict[str, list[str]] = defaultdict(list)
        for symbol, status in sorted(now.items()):
            if self._announced.get(symbol) != status:
                by_status[status].append(symbol)
        self._announced = now
        for status, symbols in by_status.items():
            self._announce(TradingStatus(tuple(symbols), status))

    def _report_unlisted(self, symbol: str, *, was_followed: bool) -> None:
        nearest = nearest_names(symbol, list(self._statuses))
        _log.error("symbol_not_listed", symbol=symbol, nearest=nearest)
        cause = f"{symbol} is not listed{' any more' if was_followed else ''}"
        hint = f"; the nearest names are {', '.join(nearest)}" if nearest else ""
        outcome = "not followed until it is listed; the others are followed"
        self._report_now("unlisted", symbol, cause + hint, outcome)

    def _report_stale(self, symbol: str) -> None:
        cause = f"{symbol} does not trade: its status is not {TRADING}, {quoted(self._statuses.get(symbol, ''))}"
        self._report_now("stale", symbol, cause, "followed on; its silence raises no alarm")

    def _report_now(self, kind: IncidentKind, symbol: str, cause: str, outcome: str) -> None:
        now = wall_ms()
        self._report(Incident(kind, self._feed.venue, symbol, now, now, cause, outcome))
