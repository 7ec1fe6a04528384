"""Opens stores as polars frames: the entry for notebooks and programs of one's own."""

from pathlib import Path

from flows.settings import Settings, load_settings
from flows.settings.sources import Values, nested, section_and_key
from flows.supervision.known import known
from sinks.dataframes import Frames


def open_frames(settings: Settings, *, venue: str | None = None) -> Frames:
    """The stored data of a venue, by default the first of the settings; use it with `with`. Errors as of `Frames`."""
    of = venue or settings.first_feed.venue
    return Frames(settings.mongo, settings.trades.path, venue=of, lake=settings.lake.path)


def settings_of(folder: Path | str) -> Settings:
    """The settings of the deployment that was started last in a folder, as `marketflow --of FOLDER` has them.
    `UnknownDeploymentError` without one, `SettingsError` when they cannot be used.
    """
    sections: Values = {}
    for name, value in known(Path(folder)).items():
        section, key = section_and_key(name)
        sections.setdefault(section, {})[key] = value
    return load_settings(**nested(sections))
