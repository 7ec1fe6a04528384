"""Which symbols are followed: those of the settings and what was wished since, as far as the venue has them."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol
from zlib import crc32

import structlog

from flows.clock import wall_ms
from flows.foreign import quoted
from flows.model import Incident
from flows.settings import Feed
from sinks.requests import Attendant, ListedInstrument, Wish
from sources.feed import UnknownSymbolError, Wishes, check_symbols

TRADING = "TRADING"
"""The status of an instrument that trades, in the venue's word."""
RETRY_S = 60.0
"""Time until the venue is asked again for its instruments when it did not answer."""

_log = structlog.get_logger(__name__)

Statuses = Mapping[str, str]
"""Every instrument of a venue and its status; empty as long as the venue has not told."""


class Wanted(NamedTuple):
    """What a process follows."""

    wishes: dict[str, tuple[str, ...]]
    """Its symbols, and the kinds of streams of each."""
    quiet: frozenset[str]
    """Those of them that do not trade at present."""
    refused: dict[str, str]
    """Symbols that were wished in vain, and why."""


def wanted(feed: Feed, wishes: Iterable[Wish], statuses: Statuses) -> Wanted:
    """The symbols of the settings, with those that were wished, without those that are not wanted any more; of all that
    the share of this process. As long as the venue has not told what it has, every symbol is taken for one that trades.
    """
    chosen: dict[str, tuple[str, ...]] = dict.fromkeys(feed.symbols, ())
    refused: dict[str, str] = {}
    for wish in wishes:
        symbol = wish.symbol.upper()
        if not wish.wanted:
            chosen.pop(symbol, None)
        elif reason := _refusal(feed, symbol, wish.streams, statuses):
            refused[symbol] = reason
        else:
            chosen[symbol] = wish.streams
    own = {symbol: kinds for symbol, kinds in chosen.items() if _is_own(feed, symbol)}
    quiet = frozenset(symbol for symbol in own if statuses and statuses.get(symbol) != TRADING)
    return Wanted(own, quiet, refused)


def _refusal(feed: Feed, symbol: str, kinds: tuple[str, ...], statuses: Statuses) -> str:
    """Why a wish cannot be followed; empty when it can."""
    if reason := feed.refusal_of(kinds):
        return reason
    if statuses and symbol not in statuses and symbol not in feed.symbols:
        try:
            check_symbols((symbol,), list(statuses))
        except UnknownSymbolError as error:
            return str(error)
    return ""


def _is_own(feed: Feed, symbol: str) -> bool:
    """Whether a symbol is this process's: one of the settings by its place in them, another by its name."""
    if symbol in feed.symbols:
        return symbol in feed.own_symbols
    index, _, count = feed.shard.partition("/")
    return crc32(symbol.encode()) % int(count) == int(index) - 1


class Follow(Protocol):
    """Makes a source carry what is wanted, at once and from any thread."""

    def __call__(self, wishes: Wishes, *, quiet: frozenset[str]) -> None:
        """Symbols that are `quiet` alarm nobody by their silence."""


class WishDesk:
    """Lets the source follow the wishes in MongoDB, writes there what the settings want and what the venue has, and
    says once of an instrument that it has stopped trading.

    The settings are the beginning: a symbol of theirs is written down as wanted when nobody has said anything about it
    yet. From then on the last word in MongoDB counts, also after a restart.
    """

    def __init__(
        self,
        attendant: Attendant,
        *,
        feed: Feed,
        follow: Follow,
        ask: Callable[[], Statuses | None],
        report: Callable[[Incident], None],
        statuses: Statuses | None = None,
        local_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask` gets the venue's instruments, None when it does not answer; `statuses` are those that are known."""
        self._attendant = attendant
        self._feed = feed
        self._follow = follow
        self._ask = ask
        self._report = report
        self._local_s = local_s
        self._statuses: Statuses = statuses or {}
        self._is_published = not self._statuses
        self._ask_at = local_s() + feed.symbols_minutes * 60 if statuses else local_s()
        self._followed = Wanted({}, frozenset(), {})
        self._seen: tuple[list[Wish], Statuses] | None = None

    def look(self) -> None:
        """Compares what is wanted with what is followed. `PyMongoError` when the wishes cannot be read."""
        if self._local_s() >= self._ask_at:
            self._refresh()
        venue = self._feed.venue
        wishes = self._attendant.wishes(venue)
        if (wishes, self._statuses) != self._seen:
            self._seen = wishes, self._statuses
            self._turn_to(wanted(self._feed, wishes, self._statuses))
        said = {wish.symbol for wish in wishes}
        self._attendant.propose(Wish(venue, name, wanted=True) for name in self._feed.symbols if name not in said)
        if not self._is_published:
            listed = [ListedInstrument(venue, symbol, status) for symbol, status in self._statuses.items()]
            self._attendant.publish_instruments(venue, listed)
            self._is_published = True

    def _refresh(self) -> None:
        found = self._ask()
        self._ask_at = self._local_s() + (RETRY_S if found is None else self._feed.symbols_minutes * 60)
        if found:
            self._statuses, self._is_published = found, False

    def _turn_to(self, found: Wanted) -> None:
        before, self._followed = self._followed, found
        for symbol, reason in found.refused.items():
            if before.refused.get(symbol) != reason:
                _log.warning("a wish is refused", symbol=symbol, reason=reason)
        for symbol in sorted(found.quiet - before.quiet):
            self._tell_stale(symbol)
        if (found.wishes, found.quiet) != (before.wishes, before.quiet):
            more, less = found.wishes.keys() - before.wishes.keys(), before.wishes.keys() - found.wishes.keys()
            _log.info("symbols", followed=len(found.wishes), more=sorted(more), less=sorted(less))
            self._follow(found.wishes, quiet=found.quiet)

    def _tell_stale(self, symbol: str) -> None:
        now = wall_ms()
        status = self._statuses.get(symbol)
        cause = (
            f"{symbol} does not trade: its status is not {TRADING}, {quoted(status)}"
            if status
            else f"{symbol} is not listed any more"
        )
        outcome = "followed on; its silence alarms nobody"
        self._report(Incident("stale", self._feed.venue, symbol, now, now, cause, outcome))
