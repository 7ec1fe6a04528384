"""All settings, and the only reader of the environment and of the file of settings.

A value comes from, in this order: `MARKETFLOW_<SECTION>__<KEY>` in the environment, or the file that
`MARKETFLOW_<SECTION>__<KEY>_FILE` names; `marketflow.toml`, `.yaml` or `.json` in the working directory (or the file
that `MARKETFLOW_CONFIG` names); the default below. What a section of `[venues]` does not set is as in `[feed]`.
Everything is checked when it is read: an error names the key, the value, its place, and what to write instead.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from socket import gethostname
from typing import Any, NoReturn, Self, get_args

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from flows.foreign import visible
from flows.names import did_you_mean, nearest
from flows.settings.account import Accounts
from flows.settings.alerts import Alerts
from flows.settings.api import Analysis, Api
from flows.settings.bus import Bus
from flows.settings.faults import text_of
from flows.settings.feed import AUTO, WHOLE, Books, Feed, Rest, VenueName
from flows.settings.files import file_settings, settings_file
from flows.settings.hub import Heartbeat, Hub, Log, Metrics
from flows.settings.kafka import Kafka
from flows.settings.ports import check_ports
from flows.settings.section import Section, Stream, wrong_value
from flows.settings.sources import (
    PREFIX,
    VENUES,
    SettingsError,
    Values,
    Written,
    by_section,
    environment,
    nested,
    shown_under,
)
from flows.settings.stores import Lake, Mongo, Trades
from flows.settings.tools import Backfill, Replay, Tools
from flows.settings.values import reachable
from flows.settings.venues import VenueFeed, inherited

__all__ = [
    "PREFIX",
    "VENUES",
    "Accounts",
    "Alerts",
    "Analysis",
    "Api",
    "Backfill",
    "Books",
    "Bus",
    "Feed",
    "Heartbeat",
    "Hub",
    "Kafka",
    "Lake",
    "Log",
    "Metrics",
    "Mongo",
    "Replay",
    "Rest",
    "Section",
    "Settings",
    "SettingsError",
    "Stream",
    "Tools",
    "Trades",
    "VenueFeed",
    "VenueName",
    "load_settings",
    "place_of",
    "sections",
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
    lake: Lake = Lake()
    books: Books = Books()
    accounts: Accounts = Accounts()
    alerts: Alerts = Alerts()
    hub: Hub = Hub()
    bus: Bus = Bus()
    kafka: Kafka = Kafka()
    metrics: Metrics = Metrics()
    api: Api = Api()
    analysis: Analysis = Analysis()
    tools: Tools = Tools()
    replay: Replay = Replay()
    heartbeat: Heartbeat = Heartbeat()
    log: Log = Log()
    backfill: Backfill = Backfill()
    venues: dict[VenueName, VenueFeed] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, values: Any) -> Any:
        return inherited(values)

    @model_validator(mode="after")
    def _has_a_venue(self) -> Self:
        if not self.by_venue:
            raise wrong_value(VENUES, "none of them is enabled: set enabled = true for one, or leave all out")
        if self.venues and "venue" in self.feed.model_fields_set and self.feed.venue not in self.by_venue:
            raise wrong_value("feed.venue", f"this venue is not enabled: choose from {', '.join(self.by_venue)}")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        check_ports(self)
        return self

    @model_validator(mode="after")
    def _can_share(self) -> Self:
        shards = {feed.shard for feed in self.by_venue.values()}
        if AUTO in shards and not self.bus.url:
            raise wrong_value("feed.shard", "auto needs a bus, where leases stand: set bus.url, or write i/N")
        if AUTO in shards and len(shards) > 1:
            raise wrong_value("feed.shard", "auto is for all venues or for none: leave the shard of each venue out")
        return self

    @model_validator(mode="after")
    def _alerts_have_venues(self) -> Self:
        for rule in self.alerts.own_rules:
            if rule.venue and rule.venue not in self.by_venue:
                text = f"{rule.id}: no venue {visible(rule.venue)} is followed; there are {', '.join(self.by_venue)}"
                raise wrong_value("alerts.rules", text)
        return self

    @property
    def by_venue(self) -> dict[str, Feed]:
        """The settings of each venue that is followed: those of `[venues]`, or else the one of `[feed]`. The first is
        that of requests which name none.
        """
        if not self.venues:
            return {self.feed.venue: self.feed}
        names = sorted((name for name, feed in self.venues.items() if feed.enabled), key=lambda n: n != self.feed.venue)
        return {name: self.venues[name] for name in names}

    @property
    def first_feed(self) -> Feed:
        """The settings of the venue of requests which name none."""
        return next(iter(self.by_venue.values()))

    def of_venue(self, venue: str = "") -> Self:
        """The settings with this venue alone, as those of `[feed]`; without a name `first_feed`. A venue of `[venues]`
        that is not followed is found too. `SettingsError` for another one.
        """
        known: dict[str, Feed] = {**self.by_venue, **{str(name): feed for name, feed in self.venues.items()}}
        if venue and venue not in known:
            raise SettingsError(f"{visible(venue)}: the settings have no such venue; there are {', '.join(known)}")
        return self.model_copy(update={"feed": known[venue] if venue else self.first_feed, VENUES: {}})

    def to_import(self) -> Self:
        """The settings of the venue that is imported. `SettingsError` where several are followed and none is named."""
        if self.backfill.venue is None and len(self.by_venue) > 1:
            names = ", ".join(self.by_venue)
            raise SettingsError(f"backfill.venue: several venues are followed: name one, by --venue, of {names}")
        return self.of_venue(self.backfill.venue or "")

    @property
    def in_sections(self) -> dict[str, Section]:
        """The sections by name, and those of the venues that are set, as in `venues.binance`."""
        found: dict[str, Section] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            found |= {f"{VENUES}.{venue}": feed for venue, feed in value.items()} if name == VENUES else {name: value}
        return found

    def holds_retention(self, venue: str) -> bool:
        """Whether old candles of a venue are deleted. By default not those of a replay, which would be deleted as soon
        as they are written.
        """
        chosen = self.mongo.retention
        return self.by_venue[venue].origin != "replay" if chosen is None else chosen

    @property
    def follows_bus(self) -> bool:
        """Whether the API reads the bus: where there is one, and `api.hub_urls` names no hubs."""
        return bool(self.bus.url) and not self.api.hub_urls

    @property
    def flow_name(self) -> str:
        """The name of this flow on the bus."""
        shard = self.first_feed.shard
        if self.bus.flow:
            return self.bus.flow
        return gethostname() if shard == AUTO else "flow" if shard == WHOLE else shard.replace("/", "of")

    @property
    def shares_shards(self) -> bool:
        """Whether flows share the shards by leases."""
        return self.first_feed.shard == AUTO

    @property
    def alerts_path(self) -> Path:
        """Where alerts are on disk."""
        return self.alerts.path or self.trades.path.with_name("alerts")

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
        written = [InitSettingsSource(settings_cls, nested(source.values)) for source in written_sources()]
        return init_settings, *written


def written_sources() -> tuple[Written, Written]:
    """What environment and file set, as it is written there. `SettingsError` when one cannot be read."""
    keys: dict[str, list[str]] = {name: [*section.model_fields] for name, section in sections().items()}
    for venue in get_args(VenueName):
        keys[f"{VENUES}.{venue}"].remove("venue")
    keys[VENUES] = []
    return environment(keys), file_settings(settings_file())


def sections() -> dict[str, type[Section]]:
    """The sections by name; that of each venue as in `venues.binance`."""
    return dict(_sections())


def _sections() -> Iterator[tuple[str, type[Section]]]:
    for name, field in Settings.model_fields.items():
        section: Any = field.annotation
        if name == VENUES:
            yield from ((f"{VENUES}.{venue}", VenueFeed) for venue in get_args(VenueName))
        else:
            yield name, section


def load_settings(**sections: Any) -> Settings:
    """Reads the settings; `sections` override file and environment. `SettingsError` names every wrong or unknown key,
    its value, and its place.
    """
    try:
        return Settings(**sections)
    except ValidationError as error:
        return _refuse(error.errors(), sections)


def _refuse(found: list[ErrorDetails], given: dict[str, Any]) -> NoReturn:
    """`SettingsError` for all errors. What a venue takes from `[feed]` is wrong there alone."""
    sources = written_sources()
    named = by_section({section: value for section, value in given.items() if isinstance(value, Mapping)})
    faults = {_fault(one, named, sources): _where(one) for one in found}
    wrong = {key for section, key in faults.values() if section == "feed"}
    lines = [
        f"  {fault}"
        for fault, (section, key) in faults.items()
        if not section.startswith(VENUES) or _is_its_own(section, key, wrong, sources)
    ]
    raise SettingsError("the settings cannot be used:\n" + "\n".join(lines)) from None


def _is_its_own(section: str, key: str, wrong: set[str], sources: tuple[Written, Written]) -> bool:
    """Whether an error of a venue's section is not that of `[feed]`, whose `wrong` keys it has, or of its name."""
    if section not in sections():
        return not key
    return key not in wrong or any(source.place_of(section, key) for source in sources)


def _where(found: ErrorDetails) -> tuple[str, str]:
    """Section and key of an error; empty where it is about all."""
    names = _names(found)
    return names[0], names[1] if len(names) > 1 else ""


def _names(found: ErrorDetails) -> list[str]:
    """Section, key and what is inside it."""
    where = [part for part in found["loc"] if isinstance(part, str) and part != "[key]"]
    where += str(found.get("ctx", {}).get("key", "")).split(".")
    return [".".join(filter(None, where[:2])), *where[2:]] if where[0] == VENUES else where


def _fault(found: ErrorDetails, given: Values, sources: tuple[Written, Written]) -> str:
    """One error in one line: `section.key: what is wrong; got value (where)`."""
    section, key = _where(found)
    value = found["input"]
    if "key" in found.get("ctx", {}):
        for name in str(found["ctx"]["key"]).split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    is_known = found["type"] != "extra_forbidden"
    got = "" if value is None else f"; got {shown_under(key, value, is_known=is_known)}"
    place = "" if key and key in given.get(section, {}) else _place(section, key, sources)
    name = ".".join(filter(None, _names(found))) or "settings"
    return f"{name}: {_text_of(found, section, key)}{got}" + (f" ({place})" if place else "")


def place_of(section: str, key: str) -> str:
    """Where environment or file set a setting; empty for a default."""
    return _place(section, key, written_sources())


def _place(section: str, key: str, sources: tuple[Written, Written]) -> str:
    """Where a setting is written; that of a venue may be in `[feed]`."""
    named = [section] if not section.startswith(f"{VENUES}.") else [section, "feed"]
    return next(filter(None, (source.place_of(one, key) for one in named for source in sources)), "")


def _text_of(found: ErrorDetails, section: str, key: str) -> str:
    known = sections()
    if section not in known and section.startswith(f"{VENUES}."):
        return f"no such venue; venues are {', '.join(get_args(VenueName))}"
    if found["type"] == "extra_forbidden":
        keys = list(known[section].model_fields) if section in known and key else []
        known_names = keys or list(Settings.model_fields)
        hint = did_you_mean(nearest(key if keys else section, known_names))
        return f"no such setting; {f'those of {section}' if keys else 'sections'} are {', '.join(known_names)}{hint}"
    return text_of(found)[:_MOST_TEXT]
