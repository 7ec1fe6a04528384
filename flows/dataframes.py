"""Opens the stores of the settings as polars frames: the entry for notebooks and programs of one's own."""

from flows.settings import Settings
from sinks.dataframes import Frames


def open_frames(settings: Settings, *, venue: str | None = None) -> Frames:
    """The stored data of a venue, by default `feed.venue`; use it with `with`. Errors as of `Frames`."""
    return Frames(settings.mongo, settings.trades.path, venue=venue or settings.feed.venue)
