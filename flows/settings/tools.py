"""Settings of the commands: agent tools, replay exchange, import."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from flows.settings.feed import VenueName
from flows.settings.section import Section, symbols_of, wrong_value
from flows.settings.values import Folder, Host, OpenPort, Port, Seconds, WebUrl, is_loopback, may_be_folder
from flows.times import time_ms_of

_NUMBER = re.compile(r"[0-9]{10}|[0-9]{13}")
_FIRST_YEAR, _LAST_YEAR = 2009, 2100
"""First year of crypto markets, and last year of an import."""


class Tools(Section):
    """The tools for agents (`python -m api.mcp`), which query the REST interface."""

    api_url: WebUrl | None = None
    """Address of the REST interface; default: that of these settings."""
    timeout_s: Seconds = 10.0
    """Longest wait for its response."""
    host: Host = "127.0.0.1"
    """Address to listen on with `--http`; any other than loopback is refused, as there is no token."""
    port: Port = 8090
    """Port to listen on with `--http`."""
    rows: Annotated[int, Field(ge=1, le=1_000)] = 200
    """Most candles, levels or rows in one response."""

    @model_validator(mode="after")
    def _needs_token(self) -> Self:
        if not is_loopback(self.host):
            raise wrong_value("host", f"host {self.host} can be reached from outside: listen on 127.0.0.1")
        return self


class Replay(Section):
    """The bundled replay exchange."""

    host: Host = "127.0.0.1"
    """Address to listen on."""
    port: OpenPort = 9443
    """Port to listen on."""


def _moment(value: object) -> object:
    """A day is its first moment; without a time zone it is UTC. A number is milliseconds, or seconds (10 digits)."""
    if _NUMBER.fullmatch(str(value).strip()):
        value = datetime.fromtimestamp(time_ms_of(str(value).strip()) / 1_000, UTC)
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
    """The import of one venue."""

    venue: VenueName | None = None
    """The venue to import; needed where several are followed."""

    start: Moment | None = None
    """Begin: a day, a time as in `2024-10-27T06:00`, UTC, or milliseconds or seconds since 1970."""
    end: Moment | None = None
    """End: the day after the last one, or a time; default: all data, without today in the archive."""
    source: str = "archive"
    """`archive`: the exchange's public files, downloaded. `rest`: its REST interface, for data too new for them. Or a
    folder with such files, in any order.
    """
    symbols: tuple[str, ...] = ()
    """Instruments; default: all in a folder, otherwise those that the venue's settings follow."""
    kinds: tuple[Kind, ...] = ("trades", "klines")
    """Trades become candles and fill the trade store; klines prove candles, or replace them where there are no trades.
    """
    archive_url: WebUrl = "https://data.binance.vision/data"
    """Address of the public files."""
    cache: Folder = Path("data/archive")
    """Folder of downloaded files, and of the list of imported ones."""
    retention: bool = False
    """Let the stores delete expired data, which old data mostly is at once."""
    dry_run: bool = False
    """Only print what would be read."""

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if not source.strip() or "://" in source or not may_be_folder(Path(source)):
            raise ValueError("write archive, rest, or the name of a folder")
        return source

    @field_validator("symbols")
    @classmethod
    def _are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        return symbols_of(symbols)

    @field_validator("kinds")
    @classmethod
    def _some_kind(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not kinds:
            raise ValueError("name trades, klines or both")
        return tuple(dict.fromkeys(kinds))

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start and self.end and self.end <= self.start:
            raise wrong_value("end", f"end is not after start, {self.start:%Y-%m-%dT%H:%M}")
        return self
