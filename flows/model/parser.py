"""What a venue's parser takes and gives."""

from typing import Protocol

from flows.model.incidents import Rejected
from flows.model.market import MarketEvent
from flows.model.source_events import RawFrames


class ParsedFrames(Protocol):
    """What a venue's parser gives back."""

    @property
    def events(self) -> list[tuple[str, list[MarketEvent]]]:
        """Runs `(symbol, events of one type)`."""

    @property
    def rejected(self) -> list[Rejected]:
        """Frames that could not be read."""

    @property
    def ignored(self) -> int:
        """Messages that mean nothing to us."""


class VenueParser(Protocol):
    """The parser of a venue. It never raises for what a frame contains."""

    def parse(self, frames: RawFrames) -> ParsedFrames:
        """Events of frames that arrived together."""
