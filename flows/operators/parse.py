"""Step `parse`: what a source carries becomes events of instruments."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from flows.model import (
    TRADE_KINDS,
    ConnectionEvent,
    Flush,
    Incident,
    Instrument,
    MarketEvent,
    RawFrames,
    Rejected,
    Trade,
    TradesRefused,
    VenueParser,
)
from flows.operators.runs import by_symbol, newest_event

MOST_KEYS = 20_000
"""Symbols whose key is remembered; of more, it is made each time."""


class Batch(Struct, gc=False):
    """Events of one instrument that arrived together, all of one type, in the order of arrival."""

    key: str
    """`venue:symbol`."""
    events: list[MarketEvent]
    line: str = ""
    """The line they came by."""


class Trades(Struct, gc=False):
    """Trades of any instruments that arrived together, in the order of arrival.

    A live poll has hardly more than one trade of an instrument, and a batch for each costs more than the trade. So they
    are sorted where that is needed: before the keyed steps, when more have come, and where one of them is in doubt.
    """

    trades: list[Trade]
    newest: int
    """Their newest event time."""
    keys: Mapping[str, str]
    """`venue:symbol` of each symbol."""
    line: str = ""
    """The line they came by."""

    def batches(self) -> list[Batch]:
        """The same by instrument."""
        return [Batch(self.keys[symbol], [*run], self.line) for symbol, run in by_symbol(self.trades).items()]


class InstrumentEvent(Struct, gc=False):
    """What happened to a line, for one of its instruments."""

    key: str
    event: ConnectionEvent | TradesRefused


Polled: TypeAlias = RawFrames | ConnectionEvent | Rejected | Flush
"""What a source hands on."""
Parsed: TypeAlias = Batch | Trades | InstrumentEvent | ConnectionEvent | Rejected | Flush
"""What this step hands on."""
Validated: TypeAlias = Parsed | Incident
"""What the step `validate` makes of that."""


def by_instrument(items: Iterable[Parsed]) -> list[Parsed]:
    """The items, with trades as batches of one instrument each."""
    out: list[Parsed] = []
    for item in items:
        if type(item) is Trades:
            out += item.batches()
        else:
            out.append(item)
    return out


class Parse:
    """Parses polls. `ignored` counts the messages of unknown types since the start."""

    def __init__(self, venue: str, parser: VenueParser) -> None:
        self._parser = parser
        self._keys = _Keys(venue)
        self.ignored = 0

    def __call__(self, polled: list[Polled]) -> list[Parsed]:
        """Events in the order of arrival; those that arrived together are grouped by instrument and type, but for
        trades that the parser gives as they came.
        """
        out: list[Parsed] = []
        for item in polled:
            if isinstance(item, RawFrames):
                self._parse_frames(item, out)
            elif isinstance(item, Flush | Rejected):
                out.append(item)
            else:
                self._tell_instruments(item, out)
        return out

    def _parse_frames(self, frames: RawFrames, out: list[Parsed]) -> None:
        parsed = self._parser.parse(frames)
        self.ignored += parsed.ignored
        keys, line = self._keys, frames.line
        if parsed.rejected:
            out += parsed.rejected
            lacking = {one.symbol: one.reason for one in parsed.rejected if one.kind in TRADE_KINDS}
            out += [InstrumentEvent(keys[symbol], TradesRefused(reason)) for symbol, reason in lacking.items()]
        if trades := list(parsed.trades):
            out.append(Trades(trades, newest_event(trades), keys, line))
        out += [Batch(keys[symbol], events, line) for symbol, events in parsed.events]
        for status in parsed.statuses:
            self._tell_instruments(status, out)

    def _tell_instruments(self, event: ConnectionEvent, out: list[Parsed]) -> None:
        out.append(event)
        out.extend(InstrumentEvent(self._keys[symbol], event) for symbol in event.symbols)


class _Keys(dict[str, str]):
    """The key of each symbol, as far as they are remembered."""

    def __init__(self, venue: str) -> None:
        super().__init__()
        self._venue = venue

    def __missing__(self, symbol: str) -> str:
        key = Instrument(self._venue, symbol).key
        if len(self) < MOST_KEYS:
            self[symbol] = key
        return key
