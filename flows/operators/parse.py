"""Step `parse`: what a source carries becomes events of instruments."""

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
    TradesRefused,
    VenueParser,
)

MOST_KEYS = 20_000
"""Symbols whose key is remembered; of more, it is made each time."""


class Batch(Struct, gc=False):
    """Events of one instrument that arrived together, all of one type, in the order of arrival."""

    key: str
    """`venue:symbol`."""
    events: list[MarketEvent]
    line: str = ""
    """The line they came by."""


class InstrumentEvent(Struct, gc=False):
    """What happened to a line, for one of its instruments."""

    key: str
    event: ConnectionEvent | TradesRefused


Polled: TypeAlias = RawFrames | ConnectionEvent | Flush
"""What a source hands on."""
Parsed: TypeAlias = Batch | InstrumentEvent | ConnectionEvent | Rejected | Flush
"""What this step hands on."""
Validated: TypeAlias = Parsed | Incident
"""What the step `validate` makes of that."""


class Parse:
    """Parses polls. `ignored` counts the messages of unknown types since the start."""

    def __init__(self, venue: str, parser: VenueParser) -> None:
        self._parser = parser
        self._keys = _Keys(venue)
        self.ignored = 0

    def __call__(self, polled: list[Polled]) -> list[Parsed]:
        """Events in the order of arrival; those that arrived together are grouped by instrument and type."""
        out: list[Parsed] = []
        for item in polled:
            if isinstance(item, RawFrames):
                self._parse_frames(item, out)
            elif isinstance(item, Flush):
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
            trades = {one.symbol: one.reason for one in parsed.rejected if one.kind in TRADE_KINDS}
            out += [InstrumentEvent(keys[symbol], TradesRefused(reason)) for symbol, reason in trades.items()]
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
