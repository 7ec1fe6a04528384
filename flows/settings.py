"""All settings, and the only reader of the environment and of `marketflow.toml`.

A value comes from, in this order: `MARKETFLOW_<SECTION>__<KEY>` in the environment, `marketflow.toml` in the working
directory (or the file that `MARKETFLOW_CONFIG` names), the default below. An unknown key is an error that names it.
"""

import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from flows.model import timeframe_ms

PREFIX = "MARKETFLOW_"

_SNAPSHOT_LEVELS = (100, 500, 1_000)
Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0)]
Stream = Literal["aggTrade", "trade", "kline", "ticker", "miniTicker", "depth", "bookTicker"]


class SettingsError(Exception):
    """The settings cannot be used; the text says which, why, and where to change it."""


class Section(BaseModel):
    """A part of the settings: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_open_house(host: str, token: str | None) -> None:
    if not _is_loopback(host) and not token:
        raise ValueError(f"host {host} can be reached from outside: set token, or listen on 127.0.0.1")


class Feed(Section):
    """Where the data comes from."""

    venue: Literal["binance", "binance-usdm"] = "binance"
    """The exchange: Binance spot or USD-M futures."""
    origin: Literal["live", "testnet", "replay", "synthetic"] = "live"
    """What the data is; shown everywhere, so that nobody takes a replay for the market."""
    ws_url: str | None = None
    """Base address of the WebSocket streams; default: the venue's own."""
    rest_url: str | None = None
    """Base address of the REST interface; default: the venue's own."""
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    """Instruments, in the venue's own names."""
    timeframes: tuple[str, ...] = ("1m", "5m", "15m", "1h", "4h", "1d")
    """Candles to build, each a multiple of the shortest."""
    streams: tuple[Stream, ...] = ("aggTrade", "kline", "ticker", "depth", "bookTicker")
    """What to subscribe for each symbol; `aggTrade` or `trade` is needed for candles."""
    symbols_minutes: Annotated[int, Field(ge=1)] = 120
    """How long the venue's list of instruments is believed until it is asked for again."""
    connections: Annotated[int, Field(ge=1, le=64)] = 1
    """Least number of connections per line; more are opened when the streams do not fit."""
    streams_per_connection: Annotated[int, Field(ge=1, le=1024)] = 200
    """Most streams on one connection (Binance takes 1024)."""
    shards: Annotated[int, Field(ge=1, le=99)] = 1
    """Partitions of the source; symbols are spread over them. It must not change while recovery data is kept."""
    shard: str = "1/1"
    """`i/N`: this process takes the i-th of N parts of the symbols."""
    stale_after_s: Seconds = 60.0
    """A channel that is silent for so long is reported and its connection renewed; 0.25 of it is the check's
    interval.
    """
    rotate_hours: Annotated[float, Field(ge=0)] = 12
    """Age at which a connection is renewed, without a break, before the venue ends it; 0 leaves that to the venue."""
    redundancy: Literal[1, 2] = 1
    """Connections that carry the same streams side by side; with 2 the loss of one costs nothing."""
    transport: Literal["websockets", "picows"] = "websockets"
    """The WebSocket library; `picows` is in C and several times as fast, and has to be installed (`marketflow[fast]`).
    """
    open_timeout_s: Seconds = 10.0
    """Longest wait for a connection to open."""
    backoff_min_s: Seconds = 2.0
    """First delay before a reconnect; doubles with each failure."""
    backoff_max_s: Seconds = 64.0
    """Longest delay before a reconnect."""
    backoff_tries: Annotated[int, Field(ge=1)] = 10
    """Failures in a row after which the outage becomes an incident; the attempts go on at the longest delay."""
    queue_frames: Annotated[int, Field(ge=1_000)] = 200_000
    """Frames that a partition holds for the flow; when it is full, the socket waits."""
    poll_frames: Annotated[int, Field(ge=1)] = 5_000
    """Most frames handed to the flow at once."""
    gather_ms: Annotated[int, Field(ge=0, le=100)] = 5
    """Trades of so many milliseconds go through sequencing and candles together; prices do not wait for it."""
    reorder_ms: Annotated[int, Field(ge=0)] = 200
    """How long a hole in the trade ids waits for a straggler before it is a gap."""
    repair_ms: Annotated[int, Field(ge=0)] = 30_000
    """How long trades wait for a hole before them to be filled over REST without getting on; 0 fills none."""
    repair_trades: Annotated[int, Field(ge=0)] = 200_000
    """Most missing trades that are fetched for one hole; a larger one is left to the archive importer."""
    seed_ms: Annotated[int, Field(ge=0)] = 5_000
    """How long running candles wait for the exchange's own after a start or a hole, to be complete from the first."""
    kline_limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Past candles fetched for a symbol and timeframe that the store does not have yet."""
    request_pause_ms: Annotated[int, Field(ge=0)] = 100
    """Time between two requests for past candles."""
    proof_grace_ms: Annotated[int, Field(ge=0)] = 10_000
    """How long a closed candle waits for the exchange's own before that is asked for over REST."""
    refresh_minutes: Annotated[int, Field(ge=0)] = 60
    """Time between two looks at the past of the timeframes of an hour and more; 0 never looks."""
    close_grace_ms: Annotated[int, Field(ge=0)] = 2_000
    """How long after its end a candle waits for its last trades when nothing else proves it complete."""
    forming_ms: Annotated[int, Field(ge=0)] = 100
    """Least time between two versions of a forming candle."""

    @field_validator("symbols")
    @classmethod
    def _known_form(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(symbol.strip().upper() for symbol in symbols))
        for name in names:
            if not name or not name.replace("_", "").isalnum():
                raise ValueError(f"{name!r} is no symbol: write the venue's own name without separator, as in BTCUSDT")
        if not names:
            raise ValueError("name at least one symbol, as in BTCUSDT")
        return names

    @field_validator("timeframes")
    @classmethod
    def _multiples(cls, timeframes: tuple[str, ...]) -> tuple[str, ...]:
        lengths = {timeframe: timeframe_ms(timeframe) for timeframe in timeframes}
        if not lengths:
            raise ValueError("name at least one timeframe, as in 1m")
        ordered = tuple(sorted(lengths, key=lengths.__getitem__))
        shortest = ordered[0]
        for timeframe in ordered:
            if lengths[timeframe] % lengths[shortest]:
                raise ValueError(f"{timeframe} is no multiple of the shortest timeframe, {shortest}")
        return ordered

    @field_validator("shard")
    @classmethod
    def _share(cls, shard: str) -> str:
        index, _, count = shard.partition("/")
        if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
            raise ValueError(f"{shard!r} is no share: write i/N with 1 <= i <= N, as in 1/2")
        return shard

    @model_validator(mode="after")
    def _one_kind_of_trades(self) -> Self:
        if {"aggTrade", "trade"} <= set(self.streams):
            raise ValueError("streams: choose aggTrade or trade, not both: their ids count different things")
        if self.backoff_max_s < self.backoff_min_s:
            raise ValueError("backoff_max_s is below backoff_min_s")
        return self

    @property
    def own_symbols(self) -> tuple[str, ...]:
        """The symbols of this process's share."""
        index, _, count = self.shard.partition("/")
        return self.symbols[int(index) - 1 :: int(count)]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of streams that may be wished for a symbol; `kline` is the klines of all timeframes, `kline_1m` of
        one. Ids of fills and of aggregates count different things, so trades are of the one kind that `streams` names.
        """
        other_trades = "aggTrade" if "trade" in self.streams else "trade"
        klines = [f"kline_{timeframe}" for timeframe in self.timeframes]
        return (*(kind for kind in get_args(Stream) if kind != other_trades), *klines)

    def refusal_of(self, kinds: Iterable[str]) -> str:
        """Why kinds of streams cannot be followed; empty when they can."""
        unknown = [kind for kind in kinds if kind not in self.kinds]
        return f"{', '.join(unknown)} cannot be followed here; choose from {', '.join(self.kinds)}" if unknown else ""


class Rest(Section):
    """The venue's REST interface."""

    weight_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the venue's request weight that this process may spend; several on one address share it out."""
    timeout_s: Seconds = 10.0
    """Longest wait for an answer."""
    tries: Annotated[int, Field(ge=1)] = 4
    """Attempts for a request that fails for the moment."""


class Mongo(Section):
    """The document store of candles, statistics and incidents."""

    enabled: bool = True
    """Keep candles at all."""
    uri: str = "mongodb://127.0.0.1:27017"
    """Address of the server; the default is the bundled one (`python -m sinks.mongod`)."""
    database: str = "bot_core"
    """Name of the database."""
    pool: Annotated[int, Field(ge=1)] = 10
    """Most connections to the server."""
    buffer: Annotated[int, Field(ge=1_000)] = 200_000
    """Candles held while the server is away; then the oldest forming ones go first, and a loss is an incident."""
    forming_ms: Annotated[int, Field(ge=0)] = 1_000
    """Least time between two writes of the same forming candle."""
    retention: bool | None = None
    """Let MongoDB delete what is past its time; default: on for live data, off for replays of old times."""
    retention_days: dict[str, int] = {"1m": 7, "5m": 30, "15m": 90, "1h": 365, "4h": 730}
    """Days that candles are kept, by timeframe, from the candle's own time; a timeframe not named is kept for ever."""


class Trades(Section):
    """The trade store."""

    enabled: bool = True
    """Keep trades at all."""
    path: Path = Path("data/trades")
    """Directory of the store."""
    partitions: Annotated[int, Field(ge=1, le=64)] = 1
    """Databases a venue is spread over; it must not change while the data is kept."""
    flush_ms: Annotated[int, Field(ge=10)] = 1_000
    """Time between two writes."""
    retention_days: Annotated[float, Field(ge=0)] = 7
    """Days that trades are kept, counted in the feed's time; 0 keeps them for ever."""
    merge_after_minutes: Annotated[int, Field(ge=1)] = 60
    """Seconds older than this are merged into minutes."""


class Books(Section):
    """Order books, of the symbols whose `depth` stream is subscribed."""

    levels: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Levels a side that clients get."""
    every_ms: Annotated[int, Field(ge=0)] = 100
    """Least time between two views of a book; best bid and ask do not wait for it."""
    depth: int = 500
    """Levels a side that a snapshot is asked for, and that are kept: 100, 500 or 1000, which costs more weight."""
    first_depth: int = 100
    """The same of the snapshot that a book begins with (`depth` where `levels` are more): so hundreds of books are
    there within a minute of the venue's weight, and those whose price moves far ask for `depth` levels next.
    """
    audit_s: Seconds = 600.0
    """Time between two comparisons of a book with a fresh snapshot."""
    audit_least_share: Annotated[float, Field(ge=0, le=1)] = 0.95
    """A book that has less than this share of the exchange's best 100 levels was wrong, which is an incident."""

    @model_validator(mode="after")
    def _no_more_than_known(self) -> Self:
        for name, levels in (("depth", self.depth), ("first_depth", self.first_depth)):
            if levels not in _SNAPSHOT_LEVELS:
                raise ValueError(f"{name} {levels}: venues serve {', '.join(map(str, _SNAPSHOT_LEVELS))} levels")
        if self.first_depth > self.depth:
            raise ValueError(f"first_depth {self.first_depth} is more than depth {self.depth}: choose at most that")
        if self.levels > self.depth:
            raise ValueError(
                f"levels {self.levels} are more than depth {self.depth}: no more are known than are asked for"
            )
        return self


class Hub(Section):
    """The WebSocket broadcast."""

    enabled: bool = True
    """Serve it at all."""
    host: str = "127.0.0.1"
    """Address to listen on; any other than loopback needs `token`."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8765
    """Port to listen on; 0 takes a free one."""
    token: str | None = None
    """What clients must present as `Authorization: Bearer …` or `?token=…`."""
    origins: tuple[str, ...] = ()
    """Web origins that may connect, besides programs (which send none) and pages of this machine."""
    max_clients: Annotated[int, Field(ge=1)] = 1_000
    """Most clients at a time."""
    capacity: Annotated[int, Field(ge=1)] = 1_000
    """Messages a slow client's queue holds."""
    ring: Annotated[int, Field(ge=0)] = 10_000
    """Messages kept for clients that resume."""
    rate: Annotated[int, Field(ge=1)] = 100
    """Most `MarketData` a second and symbol; the newest wins."""
    tick_ms: Annotated[int, Field(ge=0, le=50)] = 10
    """Longest time under load whose messages reach a client in one write; when there is little to do nothing waits."""

    @model_validator(mode="after")
    def _closed_to_strangers(self) -> Self:
        _refuse_open_house(self.host, self.token)
        return self


class Metrics(Section):
    """What the flow counts, for Prometheus."""

    enabled: bool = True
    """Serve `/metrics` at all. The API has its own."""
    host: str = "127.0.0.1"
    """Address to listen on. What is served holds no secrets, and needs no token."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 9464
    """Port to listen on; 0 takes a free one, which the log names."""


class Api(Section):
    """The REST interface and the page."""

    host: str = "127.0.0.1"
    """Address to listen on; any other than loopback needs `token`."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port to listen on; 0 takes a free one."""
    token: str | None = None
    """What callers must present as `Authorization: Bearer …` or `?token=…`; page, documentation and health are open."""
    cors: tuple[str, ...] = ()
    """Web origins that may call, besides programs (which send none) and pages of this machine."""
    hub_urls: tuple[str, ...] = ()
    """The hubs to follow, `ws://host:port/ws` each; default: the one of these settings."""
    cache_size: Annotated[int, Field(ge=1)] = 500
    """Candles of each symbol and timeframe that are held in memory."""
    body_bytes: Annotated[int, Field(ge=1_024)] = 65_536
    """Longest body of a request."""
    store_timeout_s: Seconds = 5.0
    """Longest wait for an answer of the database."""
    price_age_s: Seconds = 1.0
    """Prices older than this are marked `stale`, where the flow does not say how current they are."""
    book_age_s: Seconds = 5.0
    """Order books older than this are marked `stale`, where the flow does not say how current they are."""
    indicator_age_s: Seconds = 60.0
    """Age from which candles, indicators and what is read from them are `stale`; a whole period later where the flow
    says how current they are.
    """

    @model_validator(mode="after")
    def _closed_to_strangers(self) -> Self:
        _refuse_open_house(self.host, self.token)
        return self


Weight = Annotated[float, Field(ge=0)]


class Analysis(Section):
    """What counts how much in the reading of several timeframes; a weight is relative to the others beside it."""

    timeframes: dict[str, Weight] = {"1m": 0.5, "5m": 1, "15m": 1, "1h": 2, "4h": 2, "1d": 1}
    """Weight by timeframe; one that is not named, or has 0, does not count."""
    trend: Weight = 0.5
    """Weight of the trend in a timeframe's score."""
    momentum: Weight = 0.3
    """Weight of the momentum."""
    volume: Weight = 0.2
    """Weight of what takers buy and sell."""
    store: bool = True
    """Whether the API stores the reading of every followed symbol once a minute."""
    retention_days: Annotated[float, Field(ge=0)] = 7
    """How long those are kept, from when they were made; 0 keeps them for ever."""

    @field_validator("timeframes")
    @classmethod
    def _are_timeframes(cls, weights: dict[str, float]) -> dict[str, float]:
        for timeframe in weights:
            timeframe_ms(timeframe)
        return weights


class Tools(Section):
    """The tools for agents (`python -m api.mcp`), which ask the REST interface."""

    api_url: str | None = None
    """Address of the REST interface; default: that of these settings."""
    timeout_s: Seconds = 10.0
    """Longest wait for an answer of it."""
    host: str = "127.0.0.1"
    """Address to listen on with `--http`; any other than loopback is refused, as there is no token."""
    port: Port = 8090
    """Port to listen on with `--http`."""
    rows: Annotated[int, Field(ge=1, le=1_000)] = 200
    """Most candles, levels or rows in one answer."""

    @model_validator(mode="after")
    def _closed_to_strangers(self) -> Self:
        if not _is_loopback(self.host):
            raise ValueError(f"host {self.host} can be reached from outside: listen on 127.0.0.1")
        return self


class Replay(Section):
    """The bundled replay exchange."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 9443
    """Port to listen on."""


def _moment(told: object) -> object:
    """A day is its first moment; without a time zone it is UTC."""
    if isinstance(told, str):
        try:
            told = datetime.fromisoformat(told.strip())
        except ValueError:
            raise ValueError(f"{told!r} is no time: write a day or an ISO time, as in 2024-10-27T06:00") from None
    if isinstance(told, date) and not isinstance(told, datetime):
        told = datetime(told.year, told.month, told.day, tzinfo=UTC)
    if isinstance(told, datetime):
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    return told


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Backfill(Section):
    """What the importer imports: of the venue `feed.venue`, the symbols `feed.symbols`."""

    start: Moment | None = None
    """From when on: a day, or a time as in `2024-10-27T06:00`; UTC."""
    end: Moment | None = None
    """Until when: the day behind the last one, or a time; default: all there is, without today in the archive."""
    source: str = "archive"
    """`archive`: the exchange's public files, downloaded. `rest`: its REST interface, for what is too new for them.
    Or a folder that holds such files, in any order.
    """
    kinds: tuple[Literal["trades", "klines"], ...] = ("trades", "klines")
    """Trades become candles and fill the trade store; klines prove them, or take their place where there are none."""
    archive_url: str = "https://data.binance.vision/data"
    """Address of the public files."""
    cache: Path = Path("data/archive")
    """Where downloaded files are kept, and the list of those that are imported."""
    retention: bool = False
    """Let the stores delete what is past its time, which old data mostly is at once."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end is not after start")
        return self


class Log(Section):
    """What the process says about itself."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is shown."""
    format: Literal["console", "json"] = "console"
    """`console` for people, `json` for machines."""
    summary_s: Seconds = 60.0
    """Time between two summaries of what was stored."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

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
    log: Log = Log()
    backfill: Backfill = Backfill()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes them
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then file."""
        path = Path(os.environ.get(f"{PREFIX}CONFIG", "marketflow.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path)


def load_settings(**sections: Any) -> Settings:
    """Reads the settings; `sections` override file and environment. `SettingsError` names every bad or unknown key."""
    named = os.environ.get(f"{PREFIX}CONFIG")
    if named and not Path(named).is_file():
        raise SettingsError(f"{PREFIX}CONFIG names {named}, which is no file")
    _refuse_unknown_environment()
    try:
        return Settings(**sections)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()]
        raise SettingsError("the settings cannot be used:\n" + "\n".join(lines)) from error
    except ValueError as error:
        raise SettingsError(f"marketflow.toml cannot be read: {error}") from error


def _refuse_unknown_environment() -> None:
    """pydantic-settings ignores unknown variables, and a typing error there would silently do nothing."""
    known = {f"{PREFIX}CONFIG"}
    for section, field in Settings.model_fields.items():
        known.add(f"{PREFIX}{section}".upper())
        model: Any = field.annotation
        known.update(f"{PREFIX}{section}__{key}".upper() for key in model.model_fields)
    for name in os.environ:
        if name.startswith(PREFIX) and name.upper() not in known:
            section = name[len(PREFIX) :].split("__")[0].lower()
            hint = "" if section in Settings.model_fields else f"; sections are {', '.join(Settings.model_fields)}"
            raise SettingsError(f"{name} is no setting{hint}")
