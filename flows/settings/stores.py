"""Settings of the stores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from flows.settings.section import Section, wrong_value
from flows.settings.values import (
    MOST_DAYS,
    ClockTime,
    DatabaseName,
    Days,
    Folder,
    LakePlace,
    Milliseconds,
    MongoUri,
    check_timeframes,
    with_password,
)


class Mongo(Section):
    """The document store of candles, statistics and incidents."""

    enabled: bool = True
    """Store candles at all."""
    uri: MongoUri = "mongodb://127.0.0.1:27017"
    """Address of the server; the default is the bundled one (`python -m sinks.mongod`)."""
    password: str | None = None
    """Password of the user whom `uri` names without one, as it is; for a secret in a file of its own."""
    database: DatabaseName = "bot_core"
    """Name of the database."""
    history_from: Literal["primary", "secondary", "nearest"] = "primary"
    """Server of a replica set that the API reads the past from: pages, incidents, counts. From a secondary
    one it may be up to 90 s old. What is current is always read from the primary; while there is none, from another.
    """
    pool: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Most connections to the server."""
    buffer: Annotated[int, Field(ge=1_000, le=100_000_000)] = 200_000
    """Candles held while the server is unavailable; beyond that the oldest forming ones are dropped first, and a loss
    is an incident.
    """
    forming_ms: Milliseconds = 1_000
    """Least time between two writes of the same forming candle."""
    retention: bool | None = None
    """Let MongoDB delete expired candles; default: on for live data, off for replays of old times."""
    retention_days: dict[str, Annotated[int, Field(ge=1, le=MOST_DAYS)]] = {  # noqa: RUF012 - pydantic copies it
        "1m": 7,
        "5m": 30,
        "15m": 90,
        "1h": 365,
        "4h": 730,
    }
    """Days that candles are kept, by timeframe, from the candle's own time; a timeframe not named is kept for ever."""

    @model_validator(mode="before")
    @classmethod
    def _with_password(cls, values: Any) -> Any:
        """Puts the password into the address, so that a client needs nothing else."""
        if not isinstance(values, Mapping) or not isinstance(password := values.get("password"), str):
            return values
        try:
            return {**values, "uri": with_password(str(values.get("uri", "")), password)}
        except ValueError as error:
            raise wrong_value("password", str(error)) from None

    @field_validator("retention_days")
    @classmethod
    def _are_timeframes(cls, days: dict[str, int]) -> dict[str, int]:
        check_timeframes(days)
        return days


class Trades(Section):
    """The trade store."""

    enabled: bool = True
    """Store trades at all."""
    path: Folder = Path("data/trades")
    """Directory of the store."""
    partitions: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of databases of a venue; it must not change while the data is kept."""
    flush_ms: Annotated[int, Field(ge=10, le=86_400_000)] = 1_000
    """Time between two writes."""
    retention_days: Days = 7
    """Days that trades are kept, counted from the newest one of the same symbol; 0 keeps them for ever."""
    merge_after_minutes: Annotated[int, Field(ge=1, le=525_600)] = 60
    """Seconds older than this are merged into minutes."""


class Lake(Section):
    """The lake: closed days as Parquet files, which stay when the stores have deleted them."""

    path: LakePlace | None = None
    """Directory of the lake, or an address such as `s3://bucket/lake`, which needs the extra `lake`; default: none.
    Frames and the interface read from it what the stores have no more.
    """
    at: ClockTime | None = None
    """Time of day, UTC, at which the flow brings the lake up to date, as in 00:30; default: never, as by
    `marketflow lake write`.
    """
    holds_trades: bool = True
    """Delete trades for their age only when their day is in the lake, where there is one."""

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.at is not None and self.path is None:
            raise wrong_value("at", "it needs lake.path: the folder that is brought up to date then")
        return self
