"""All settings, and the only reader of the environment and of `marketflow.toml`.

A value comes from, in this order: `MARKETFLOW_<SECTION>__<KEY>` in the environment, or the file that
`MARKETFLOW_<SECTION>__<KEY>_FILE` names; `marketflow.toml` in the working directory (or the file that
`MARKETFLOW_CONFIG` names); the default below. Everything is checked when it is read: an error names the key, the
value, its place, and what to write instead.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from flows.settings.api import Analysis, Api
from flows.settings.faults import text_of
from flows.settings.feed import Books, Feed, Rest
from flows.settings.hub import Heartbeat, Hub, Log, Metrics
from flows.settings.ports import check_ports
from flows.settings.section import Section, Stream
from flows.settings.sources import (
    PREFIX,
    SettingsError,
    Values,
    Written,
    environment,
    file_settings,
    settings_file,
    shown_under,
)
from flows.settings.stores import Mongo, Trades
from flows.settings.tools import Backfill, Replay, Tools
from flows.settings.values import reachable

__all__ = [
    "PREFIX",
    "Analysis",
    "Api",
    "Backfill",
    "Books",
    "Feed",
    "Heartbeat",
    "Hub",
    "Log",
    "Metrics",
    "Mongo",
    "Replay",
    "Rest",
    "Settings",
    "SettingsError",
    "Stream",
    "Tools",
    "Trades",
    "load_settings",
    "written_sources",
]

_MOST_TEXT = 400
"""Longest text of one error: some contain the value."""


class Settings(BaseSettings):
    """All sections."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    feed: Feed = Feed()
    rest: Rest = Rest()
    mongo: Mongo = Mongo()
    trades: Trades = Trades()
    books: Books = Books()
    hub: Hub = Hub()
    metrics: Metrics = Metrics()
    api: Api = Api()
    analysis: Analysis = Analysis()
    tools: Tools = Tools()
    replay: Replay = Replay()
    heartbeat: Heartbeat = Heartbeat()
    log: Log = Log()
    backfill: Backfill = Backfill()

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        check_ports(self)
        return self

    @property
    def holds_retention(self) -> bool:
        """Whether old candles are deleted. By default not those of a replay, which would be deleted as soon as they are
        written.
        """
        chosen = self.mongo.retention
        return self.feed.origin != "replay" if chosen is None else chosen

    @property
    def hub_urls(self) -> tuple[str, ...]:
        """The hubs to follow: those of `api.hub_urls`, else the one of these settings."""
        return self.api.hub_urls or (f"ws://{reachable(self.hub.host)}:{self.hub.port}/ws",)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes them
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then file. `SettingsError` when one cannot be read."""
        written = [InitSettingsSource(settings_cls, dict(source.values)) for source in written_sources()]
        return init_settings, *written


def written_sources() -> tuple[Written, Written]:
    """What environment and file set, as it is written there. `SettingsError` when one cannot be read."""
    keys = {section: list(_section_of(section).model_fields) for section in Settings.model_fields}
    return environment(keys), file_settings(settings_file())


def _section_of(name: str) -> type[Section]:
    section: Any = Settings.model_fields[name].annotation
    return section  # type: ignore[no-any-return]


def load_settings(**sections: Any) -> Settings:
    """Reads the settings; `sections` override file and environment. `SettingsError` names every wrong or unknown key,
    its value, and its place.
    """
    try:
        return Settings(**sections)
    except ValidationError as error:
        sources = written_sources()
        lines = [f"  {_fault(found, sections, sources)}" for found in error.errors()]
        raise SettingsError("the settings cannot be used:\n" + "\n".join(lines)) from None


def _fault(found: ErrorDetails, sections: Values, sources: tuple[Written, Written]) -> str:
    """One error in one line: `section.key: what is wrong; got value (where)`."""
    where = [part for part in found["loc"] if isinstance(part, str)]
    further = found.get("ctx", {}).get("key", "").split(".")  # of a check of several settings
    where += filter(None, further)
    section = where[0] if where else "settings"
    key = where[1] if len(where) > 1 else ""
    value = found["input"]
    if "key" in found.get("ctx", {}):
        for name in further:
            value = value.get(name) if isinstance(value, Mapping) else None
    is_known = found["type"] != "extra_forbidden"
    got = "" if value is None else f"; got {shown_under(key, value, is_known=is_known)}"
    places = [source.place_of(section, key) for source in sources]
    place = "" if key and key in sections.get(section, {}) else next(filter(None, places), "")
    return f"{'.'.join(where) or 'settings'}: {_text_of(found, section, key)}{got}" + (f" ({place})" if place else "")


def _text_of(found: ErrorDetails, section: str, key: str) -> str:
    if found["type"] == "extra_forbidden":
        known = list(_section_of(section).model_fields) if section in Settings.model_fields and key else []
        names = ", ".join(known or Settings.model_fields)
        return f"no such setting; {f'those of {section}' if known else 'sections'} are {names}"
    return text_of(found)[:_MOST_TEXT]
