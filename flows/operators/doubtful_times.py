"""What the time gate holds and refuses."""

from typing import NamedTuple

from flows.clock import Now
from flows.model import MarketEvent
from flows.operators.parse import Batch


class Refused(NamedTuple):
    """An event that is not believed."""

    key: str
    event: MarketEvent
    reason: str


class Held(NamedTuple):
    """A batch in doubt, the newest time in it, and when it came, local time."""

    batch: Batch
    time: int
    local: int


class Line:
    """What is in doubt on one line, and how far its streams have come."""

    def __init__(self) -> None:
        self.held: list[Held] = []
        self.streams: set[tuple[str, type]] = set()
        self.before = 0
        """Messages of others that came behind the oldest one held and are before it."""


def all_of(batch: Batch, reason: str) -> list[Refused]:
    """The events of a batch, refused."""
    return [Refused(batch.key, event, f"{reason}: its event time is {event.event_time}") for event in batch.events]


def reason_of(event: MarketEvent, now: Now) -> str:
    """Why an event that is ahead of the clock is refused."""
    return f"its event time is {event.event_time - now.feed} ms ahead of the venue's"
