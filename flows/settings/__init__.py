"""All settings, and the only reader of the environment and of `marketflow.toml`.

A value comes from, in this order: `MARKETFLOW_<SECTION>__<KEY>` in the environment, `marketflow.toml` in the working
directory (or the file that `MARKETFLOW_CONFIG` names), the default below. Everything is checked when it is read: an
error names the key, the value, where it is written, and what to write instead.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from flows.names import symbol_of
from flows.settings.sources import (
    PREFIX,
    SettingsError,
    Values,
    Written,
    environment,
    file_settings,
    settings_file,
    shown_value,
)
from flows.settings.values import (
    MOST_DAYS,
    Count,
    DatabaseName,
    Days,
    Folder,
    Host,
    HubUrl,
    Milliseconds,
    MongoUri,
    OpenPort,
    Port,
    Seconds,
    Token,
    WebOrigin,
    WebSocketUrl,
    WebUrl,
    as_written,
    check_timeframes,
    is_loopback,
    may_be_folder,
    share_of,
)

__all__ = ["PREFIX", "Feed", "Settings", "SettingsError", "load_settings"]

_SNAPSHOT_LEVELS = (100, 500, 1_000)
_MOST_SAID = 400
"""Longest text about one error: some contain the value."""
_SECRET_KEYS = ("token", "secret", "password", "api_key")
_FIRST_YEAR, _LAST_YEAR = 2009, 2100
"""Of crypto markets, and of what an import may mean."""
Stream = Literal["aggTrade", "trade", "kline", "ticker", "miniTicker", "depth", "bookTicker"]


class Section(BaseModel):
    """A part of the settings: frozen, and strict about its keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        """Lists and mappings may be texts, wherever they come from."""
        field = cls.model_fields[info.field_name or ""]
        if field.annotation is Path and value == "":
            raise ValueError("write the name of a folder")
        return as_written(value, field.annotation)


def _wrong(key: str, text: str) -> PydanticCustomError:
    """An error of one key, from a check of several."""
    return PydanticCustomError("setting", "{text}", {"key": key, "text": text})


def _symbols(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, as the venue writes them."""
    return tuple(dict.fromkeys(symbol_of(text.strip()) for text in texts))


def _refuse_open_house(host: str, token: str | None) -> None:
    if not is_loopback(host) and not token:
        raise _wrong("host", f"host {host} can be reached from outside: set token, or listen on 127.0.0.1")


class Feed(Section):
    """Where the data comes from."""

    venue: Literal["binance", "binance-usdm"] = "binance"
    """The exchange: Binance spot or USD-M futures."""
    origin: Literal["live", "testnet", "replay", "synthetic"] = "live"
    """What the data is; shown everywhere, so that nobody takes a replay for the market."""
    ws_url: WebSocketUrl | None = None
    """Base address of the WebSocket streams; default: the venue's own."""
    rest_url: WebUrl | None = None
    """Base address of the REST interface; default: the venue's own."""
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    """Instruments, in the venue's own names. One that is not listed is left out, and followed when it is listed."""
    timeframes: tuple[str, ...] = ("1m", "5m", "15m", "1h", "4h", "1d")
    """Candles to build, each a multiple of the shortest."""
    streams: tuple[Stream, ...] = ("aggTrade", "kline", "ticker", "depth", "bookTicker")
    """What to subscribe for each symbol; `aggTrade` or `trade` is needed for candles."""
    symbols_minutes: Annotated[int, Field(ge=1, le=10_080)] = 10
    """Time between two looks at the venue's list of instruments, which shows what has stopped trading, is gone, or is
    new. One costs 20 of Binance's 6,000 request weights a minute.
    """
    connections: Annotated[int, Field(ge=1, le=64)] = 1
    """Least number of connections per line; more are opened when the streams do not fit."""
    streams_per_connection: Annotated[int, Field(ge=1, le=1024)] = 200
    """Most streams on one connection (Binance takes 1024)."""
    shards: Annotated[int, Field(ge=1, le=99)] = 1
    """Partitions of the source; symbols are spread over them. It must not change while recovery data is kept."""
    shard: str = "1/1"
    """`i/N`: this process takes the i-th of N parts of the symbols."""
    stale_after_s: Seconds = 60.0
    """How long a stream may be silent that has not shown its pace yet; from then on its own pace decides, from 3 s
    on. A line that stays silent so much longer, although its pace was faster, is connected anew.
    """
    rotate_hours: Annotated[float, Field(ge=0, le=10_000)] = 12
    """Age at which a connection is renewed, without a break, before the venue ends it; 0 leaves that to the venue."""
    redundancy: Literal[1, 2] = 1
    """Connections that carry the same streams side by side; with 2 the loss of one costs nothing."""
    transport: Literal["websockets", "picows"] = "websockets"
    """The WebSocket library; `picows` is in C and several times as fast, and has to be installed (`marketflow[fast]`).
    Both go through the proxy that the environment names, except to addresses of this machine.
    """
    open_timeout_s: Seconds = 10.0
    """Longest wait for a connection to open."""
    backoff_min_s: Seconds = 2.0
    """First delay before a reconnect; doubles with each failure."""
    backoff_max_s: Seconds = 64.0
    """Longest delay before a reconnect."""
    backoff_tries: Count = 10
    """Failures in a row after which the outage becomes an incident; the attempts go on at the longest delay."""
    queue_frames: Annotated[int, Field(ge=1_000, le=100_000_000)] = 200_000
    """Frames that a partition holds for the flow; when it is full, the socket waits."""
    poll_frames: Count = 5_000
    """Most frames handed to the flow at once."""
    gather_ms: Annotated[int, Field(ge=0, le=100)] = 5
    """Trades of so many milliseconds go through sequencing and candles together; prices do not wait for it."""
    reorder_ms: Milliseconds = 200
    """How long a hole in the trade ids waits for a straggler before it is a gap."""
    repair_ms: Milliseconds = 30_000
    """How long trades wait for a hole before them to be filled over REST without getting on; 0 fills none."""
    repair_trades: Annotated[int, Field(ge=0, le=100_000_000)] = 200_000
    """Most missing trades that are fetched for one hole; a larger one is left to the archive importer."""
    seed_ms: Milliseconds = 5_000
    """How long running candles wait for the exchange's own after a start or a hole, to be complete from the first."""
    kline_limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Past candles fetched for a symbol and timeframe that the store does not have yet."""
    request_pause_ms: Milliseconds = 100
    """Time between two requests for past candles."""
    proof_grace_ms: Milliseconds = 10_000
    """How long a closed candle waits for the exchange's own before that is asked for over REST."""
    refresh_minutes: Annotated[int, Field(ge=0, le=525_600)] = 60
    """Time between two looks at the past of the timeframes of an hour and more; 0 never looks."""
    close_grace_ms: Milliseconds = 2_000
    """How long after its end a candle waits for its last trades when nothing else proves it complete."""
    forming_ms: Milliseconds = 100
    """Least time between two versions of a forming candle."""

    @field_validator("symbols")
    @classmethod
    def _are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if not symbols:
            raise ValueError("name at least one symbol, as in BTCUSDT")
        return _symbols(symbols)

    @field_validator("timeframes")
    @classmethod
    def _multiples(cls, timeframes: tuple[str, ...]) -> tuple[str, ...]:
        lengths = check_timeframes(timeframes)
        if not lengths:
            raise ValueError("name at least one timeframe, as in 1m")
        ordered = tuple(sorted(lengths, key=lengths.__getitem__))
        shortest = ordered[0]
        for timeframe in ordered:
            if lengths[timeframe] % lengths[shortest]:
                raise ValueError(f"{timeframe} is no multiple of the shortest timeframe, {shortest}")
        return ordered

    @field_validator("streams")
    @classmethod
    def _one_kind_of_trades(cls, streams: tuple[Stream, ...]) -> tuple[Stream, ...]:
        if not streams:
            raise ValueError("name at least one stream, as in aggTrade")
        if {"aggTrade", "trade"} <= set(streams):
            raise ValueError("choose aggTrade or trade, not both: their ids count different things")
        return tuple(dict.fromkeys(streams))

    @field_validator("shard")
    @classmethod
    def _share(cls, shard: str) -> str:
        share_of(shard)
        return shard

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.backoff_max_s < self.backoff_min_s:
            raise _wrong("backoff_max_s", f"it is below backoff_min_s, {self.backoff_min_s:g}: choose at least that")
        return self

    @property
    def own_symbols(self) -> tuple[str, ...]:
        """The symbols of this process's share."""
        index, count = share_of(self.shard)
        return self.symbols[index - 1 :: count]

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
    tries: Annotated[int, Field(ge=1, le=100)] = 4
    """Attempts for a request that fails for the moment."""


class Mongo(Section):
    """The document store of candles, statistics and incidents."""

    enabled: bool = True
    """Keep candles at all."""
    uri: MongoUri = "mongodb://127.0.0.1:27017"
    """Address of the server; the default is the bundled one (`python -m sinks.mongod`)."""
    database: DatabaseName = "bot_core"
    """Name of the database."""
    pool: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Most connections to the server."""
    buffer: Annotated[int, Field(ge=1_000, le=100_000_000)] = 200_000
    """Candles held while the server is away; then the oldest forming ones go first, and a loss is an incident."""
    forming_ms: Milliseconds = 1_000
    """Least time between two writes of the same forming candle."""
    retention: bool | None = None
    """Let MongoDB delete what is past its time; default: on for live data, off for replays of old times."""
    retention_days: dict[str, Annotated[int, Field(ge=1, le=MOST_DAYS)]] = {
        "1m": 7,
        "5m": 30,
        "15m": 90,
        "1h": 365,
        "4h": 730,
    }
    """Days that candles are kept, by timeframe, from the candle's own time; a timeframe not named is kept for ever."""

    @field_validator("retention_days")
    @classmethod
    def _are_timeframes(cls, days: dict[str, int]) -> dict[str, int]:
        check_timeframes(days)
        return days


class Trades(Section):
    """The trade store."""

    enabled: bool = True
    """Keep trades at all."""
    path: Folder = Path("data/trades")
    """Directory of the store."""
    partitions: Annotated[int, Field(ge=1, le=64)] = 1
    """Databases a venue is spread over; it must not change while the data is kept."""
    flush_ms: Annotated[int, Field(ge=10, le=86_400_000)] = 1_000
    """Time between two writes."""
    retention_days: Days = 7
    """Days that trades are kept, counted from the newest one of the same symbol; 0 keeps them for ever."""
    merge_after_minutes: Annotated[int, Field(ge=1, le=525_600)] = 60
    """Seconds older than this are merged into minutes."""


class Books(Section):
    """Order books, of the symbols whose `depth` stream is subscribed."""

    levels: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Levels a side that clients get."""
    every_ms: Milliseconds = 100
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
                raise _wrong(name, f"venues serve {', '.join(map(str, _SNAPSHOT_LEVELS))} levels")
        if self.first_depth > self.depth:
            raise _wrong("first_depth", f"it is more than depth {self.depth}: choose at most that")
        if self.levels > self.depth:
            raise _wrong("levels", f"they are more than depth {self.depth}: no more are known than are asked for")
        return self


class Hub(Section):
    """The WebSocket broadcast."""

    enabled: bool = True
    """Serve it at all."""
    host: Host = "127.0.0.1"
    """Address to listen on; any other than loopback needs `token`."""
    port: OpenPort = 8765
    """Port to listen on; 0 takes a free one."""
    token: Token | None = None
    """What clients must present as `Authorization: Bearer …` or `?token=…`."""
    origins: tuple[WebOrigin, ...] = ()
    """Web origins that may connect, besides programs (which send none) and pages of this machine."""
    max_clients: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """Most clients at a time."""
    capacity: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """Messages a slow client's queue holds."""
    ring: Annotated[int, Field(ge=0, le=10_000_000)] = 10_000
    """Messages kept for clients that resume."""
    rate: Annotated[int, Field(ge=1, le=1_000_000)] = 100
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
    host: Host = "127.0.0.1"
    """Address to listen on. What is served holds no secrets, and needs no token."""
    port: OpenPort = 9464
    """Port to listen on; 0 takes a free one, which the log names."""


class Api(Section):
    """The REST interface and the page."""

    host: Host = "127.0.0.1"
    """Address to listen on; any other than loopback needs `token`."""
    port: OpenPort = 8080
    """Port to listen on; 0 takes a free one."""
    token: Token | None = None
    """What callers must present as `Authorization: Bearer …` or `?token=…`; page, documentation and health are open."""
    cors: tuple[WebOrigin, ...] = ()
    """Web origins that may call, besides programs (which send none) and pages of this machine."""
    hub_urls: tuple[HubUrl, ...] = ()
    """The hubs to follow, `ws://host:port/ws` each; default: the one of these settings."""
    cache_size: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """Candles of each symbol and timeframe that are held in memory."""
    body_bytes: Annotated[int, Field(ge=1_024, le=1_000_000_000)] = 65_536
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


Weight = Annotated[float, Field(ge=0, le=1_000_000)]


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
    retention_days: Days = 7
    """How long those are kept, from when they were made; 0 keeps them for ever."""

    @field_validator("timeframes")
    @classmethod
    def _are_timeframes(cls, weights: dict[str, float]) -> dict[str, float]:
        check_timeframes(weights)
        if not any(weights.values()):
            raise ValueError("at least one weight must be above 0")
        return weights

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not self.trend + self.momentum + self.volume:
            raise _wrong("trend", "trend, momentum and volume have no weight: at least one must be above 0")
        return self


class Tools(Section):
    """The tools for agents (`python -m api.mcp`), which ask the REST interface."""

    api_url: WebUrl | None = None
    """Address of the REST interface; default: that of these settings."""
    timeout_s: Seconds = 10.0
    """Longest wait for an answer of it."""
    host: Host = "127.0.0.1"
    """Address to listen on with `--http`; any other than loopback is refused, as there is no token."""
    port: Port = 8090
    """Port to listen on with `--http`."""
    rows: Annotated[int, Field(ge=1, le=1_000)] = 200
    """Most candles, levels or rows in one answer."""

    @model_validator(mode="after")
    def _closed_to_strangers(self) -> Self:
        if not is_loopback(self.host):
            raise _wrong("host", f"host {self.host} can be reached from outside: listen on 127.0.0.1")
        return self


class Replay(Section):
    """The bundled replay exchange."""

    host: Host = "127.0.0.1"
    """Address to listen on."""
    port: OpenPort = 9443
    """Port to listen on."""


def _moment(value: object) -> object:
    """A day is its first moment; without a time zone it is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"{value!r} is no time: write a day or an ISO time, as in 2024-10-27T06:00") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise ValueError("write a day or an ISO time, as in 2024-10-27T06:00")  # noqa: TRY004 - as pydantic expects
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError(f"write a time from {_FIRST_YEAR} to {_LAST_YEAR}")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Moment = Annotated[datetime, BeforeValidator(_moment)]


Kind = Literal["trades", "klines"]


class Backfill(Section):
    """What the importer imports, of the venue `feed.venue`."""

    start: Moment | None = None
    """From when on: a day, or a time as in `2024-10-27T06:00`; UTC."""
    end: Moment | None = None
    """Until when: the day behind the last one, or a time; default: all there is, without today in the archive."""
    source: str = "archive"
    """`archive`: the exchange's public files, downloaded. `rest`: its REST interface, for what is too new for them.
    Or a folder that holds such files, in any order.
    """
    symbols: tuple[str, ...] = ()
    """Of which instruments; default: of a folder all that it has files of, otherwise `feed.symbols`."""
    kinds: tuple[Kind, ...] = ("trades", "klines")
    """Trades become candles and fill the trade store; klines prove them, or take their place where there are none."""
    archive_url: WebUrl = "https://data.binance.vision/data"
    """Address of the public files."""
    cache: Folder = Path("data/archive")
    """Where downloaded files are kept, and the list of those that are imported."""
    retention: bool = False
    """Let the stores delete what is past its time, which old data mostly is at once."""
    dry_run: bool = False
    """Only say what would be read, and end."""

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if not source.strip() or "://" in source or not may_be_folder(Path(source)):
            raise ValueError("write archive, rest, or the name of a folder")
        return source

    @field_validator("symbols")
    @classmethod
    def _are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        return _symbols(symbols)

    @field_validator("kinds")
    @classmethod
    def _some_kind(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not kinds:
            raise ValueError("name trades, klines or both")
        return tuple(dict.fromkeys(kinds))

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start and self.end and self.end <= self.start:
            raise _wrong("end", f"end is not after start, {self.start:%Y-%m-%dT%H:%M}")
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
    log: Log = Log()
    backfill: Backfill = Backfill()

    @property
    def holds_retention(self) -> bool:
        """Whether old candles are deleted. Those of a replay would be as soon as they are written, so they are kept
        unless the setting says otherwise.
        """
        chosen = self.mongo.retention
        return self.feed.origin != "replay" if chosen is None else chosen

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes them
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then file. `SettingsError` for what cannot be read."""
        written = [InitSettingsSource(settings_cls, dict(source.values)) for source in _sources()]
        return init_settings, *written


def _sources() -> tuple[Written, Written]:
    """Environment and file."""
    keys = {section: list(_section_of(section).model_fields) for section in Settings.model_fields}
    return environment(keys), file_settings(settings_file())


def _section_of(name: str) -> type[Section]:
    section: Any = Settings.model_fields[name].annotation
    return section  # type: ignore[no-any-return]


def load_settings(**sections: Any) -> Settings:
    """Reads the settings; `sections` override file and environment. `SettingsError` names every key that is wrong or
    unknown, its value, and where it is written.
    """
    try:
        return Settings(**sections)
    except ValidationError as error:
        sources = _sources()
        lines = [f"  {_fault(found, sections, sources)}" for found in error.errors()]
        raise SettingsError("the settings cannot be used:\n" + "\n".join(lines)) from None


def _fault(found: ErrorDetails, sections: Values, sources: tuple[Written, Written]) -> str:
    """One error in one line: `section.key: what is wrong; got value (where)`."""
    where = [part for part in found["loc"] if isinstance(part, str)]
    section = where[0] if where else "settings"
    if key := found.get("ctx", {}).get("key"):
        where.append(key)
    key = where[1] if len(where) > 1 else ""
    value = found["input"]
    if "key" in found.get("ctx", {}):
        value = value.get(key) if isinstance(value, Mapping) else None
    got = "" if value is None else f"; got {_shown(key, value)}"
    places = [source.place_of(section, key) for source in sources]
    place = "" if key and key in sections.get(section, {}) else next(filter(None, places), "")
    return f"{'.'.join(where) or 'settings'}: {_text_of(found, section, key)}{got}" + (f" ({place})" if place else "")


def _text_of(found: ErrorDetails, section: str, key: str) -> str:
    if found["type"] == "extra_forbidden":
        known = list(_section_of(section).model_fields) if section in Settings.model_fields and key else []
        names = ", ".join(known or Settings.model_fields)
        return f"no such setting; {f'those of {section}' if known else 'sections'} are {names}"
    return found["msg"].removeprefix("Value error, ")[:_MOST_SAID]


def _shown(key: str, value: object) -> str:
    """A value without what must stay secret, nor what stands under a name that may be meant for such."""
    if any(secret in key for secret in _SECRET_KEYS) or get_close_matches(key, _SECRET_KEYS):
        return "a value that is not shown"
    if isinstance(value, str) and "@" in value:
        scheme = value.partition("://")[0] if "://" in value else "…"
        return shown_value(f"{scheme}://***@{value.rpartition('@')[2]}")
    return shown_value(value)
