"""Reports of refused events: each of them for the ledger, and now and then their number."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import json

from flows.clock import FeedClock
from flows.model import (
    AggregateTrade,
    BookDelta,
    BookSnapshot,
    BookTicker,
    ContractReport,
    Flush,
    Incident,
    Kline,
    LiquidationReport,
    MarketEvent,
    MarkReport,
    MiniTicker,
    NewestTrade,
    Rejected,
    Ticker,
    Trade,
)

EVERY_MS = 1_000
"""What is refused within so much local time is one incident; the first one is reported at once."""
NAMED: Final = 10
"""Symbols that an incident names."""
_KINDS: Final[Mapping[type, str]] = {
    AggregateTrade: "aggTrade",
    Trade: "trade",
    Kline: "kline",
    Ticker: "ticker",
    MiniTicker: "miniTicker",
    NewestTrade: "heartbeat",
    BookDelta: "depth",
    BookSnapshot: "depth",
    BookTicker: "bookTicker",
    MarkReport: "markPrice",
    LiquidationReport: "forceOrder",
    ContractReport: "contractInfo",
}
"""Streams by the type of what they bring; the first that fits holds."""
_found: dict[type, str] = {}


def rejected(venue: str, event: MarketEvent, reason: str) -> Rejected:
    """A refused event of the model, as JSON: its frame was shared with others and is no longer at hand."""
    symbol = str(getattr(event, "symbol", ""))
    return Rejected(venue, reason, json.encode(event), 0, symbol=symbol, kind=kind_of(type(event)))


def kind_of(event_type: type) -> str:
    """The stream that brings events of a type, in the words of the setting `feed.streams`; empty when none does."""
    kind = _found.get(event_type)
    if kind is None:  # a venue's own subtype of a model type
        kind = _found[event_type] = next((kind for model, kind in _KINDS.items() if issubclass(event_type, model)), "")
    return kind


class Refusals:
    """Counts refusals between two reports. Times are local, ms."""

    def __init__(self, what: str) -> None:
        """`what` was refused, in the plural."""
        self._what = what
        self.last_reason = ""
        """Of the newest one."""
        self._reported_at: int | None = None
        self.count = 0
        """Since the last report."""
        self._by_symbol: dict[str, int] = {}

    def note(self, reason: str, count: int = 1, symbol: str = "") -> None:
        """So many were refused."""
        self.count += count
        if symbol:
            self._by_symbol[symbol] = self._by_symbol.get(symbol, 0) + count
        self.last_reason = reason

    @property
    def due(self) -> int | None:
        """When the next report may be given; None when there is nothing to report, or nothing to wait for."""
        return self._reported_at + EVERY_MS if self.count and self._reported_at is not None else None

    def take_report(self, local: int, *, ends: bool) -> str | None:
        """The cause of an incident; None when it is too soon, unless the input ends, or nothing was refused."""
        due = self.due
        if not self.count or (due is not None and local < due and not ends):
            return None
        named = _listed([f"{symbol} {count}" for symbol, count in self._by_symbol.items()], ", ")
        of = f" ({named})" if named else ""
        report = f"{self._what} refused: {self.count}{of}, the last one for this: {self.last_reason}"
        self.count, self._reported_at = 0, local
        self._by_symbol.clear()
        return report


class RejectIncidents:
    """Incidents of one venue, those that something was refused together: the first one at once, what comes within
    `EVERY_MS` of local time behind it as one, that names each symbol. All others pass. It must be called a few times a
    second, with whatever.
    """

    def __init__(self, clock: FeedClock) -> None:
        self._clock = clock
        self._waiting: list[Incident] = []
        self._due = 0
        self._is_over = False

    def __call__(self, items: Iterable[object]) -> list[Incident]:
        """The incidents to report now."""
        out: list[Incident] = []
        for item in items:
            if isinstance(item, Incident):
                (self._waiting if item.kind == "reject" else out).append(item)
            elif isinstance(item, Flush):
                self._is_over = True
        local = self._clock.now().local
        if self._waiting and (local >= self._due or self._is_over):
            self._due = local + EVERY_MS
            out.append(_together(self._waiting))
            self._waiting.clear()
        return out


def _together(found: list[Incident]) -> Incident:
    """One incident that says what several do."""
    if len(found) == 1:
        return found[0]
    begin, end = min(one.begin for one in found), max(one.end for one in found)
    symbols = {one.symbol for one in found}
    cause = _listed([f"{one.symbol}: {one.cause}" if one.symbol else one.cause for one in found], "; ")
    symbol = symbols.pop() if len(symbols) == 1 else ""
    return Incident("reject", found[0].venue, symbol, begin, end, cause, found[0].outcome)


def _listed(parts: list[str], separator: str) -> str:
    more = len(parts) - NAMED
    return separator.join([*parts[:NAMED], f"and {more} more"] if more > 0 else parts)
