"""What a venue's parser takes and gives."""

from collections.abc import Sequence
from typing import Protocol

from flows.model.incidents import Rejected
from flows.model.market import MarketEvent, Trade
from flows.model.source_events import RawFrames, TradingStatus


class ParsedFrames(Protocol):
    """What a venue's parser gives back."""

    @property
    def events(self) -> list[tuple[str, list[MarketEvent]]]:
        """Runs `(symbol, events of one type)`."""

    @property
    def trades(self) -> Sequence[Trade]:
        """Trades of any instruments, in the order of arrival, that are not among the events."""

    @property
    def rejected(self) -> list[Rejected]:
        """Frames that could not be read."""

    @property
    def ignored(self) -> int:
        """Messages that mean nothing to us."""

    @property
    def statuses(self) -> Sequence[TradingStatus]:
        """New statuses of instruments that the connection carries, where the venue's streams have them."""


class VenueParser(Protocol):
    """The parser of a venue. It never raises for what a frame contains."""

    def parse(self, frames: RawFrames) -> ParsedFrames:
        """Events of frames that arrived together."""
