"""Settings of the broadcast, the flow's metrics, the log and the outgoing heartbeat."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flows.settings.section import Section, refuse_open_host
from flows.settings.values import HeartbeatUrl, Host, LogFile, OpenPort, Seconds, Token, WebOrigin


class Hub(Section):
    """The WebSocket broadcast."""

    enabled: bool = True
    """Serve it at all."""
    host: Host = "127.0.0.1"
    """Address to listen on; any other than loopback needs `token`."""
    port: OpenPort = 8765
    """Port to listen on; 0 takes a free one."""
    token: Token | None = Field(default=None, repr=False)
    """Token that clients must send as `Authorization: Bearer …` or `?token=…`."""
    account_token: Token | None = Field(default=None, repr=False)
    """Token of clients that may also have balances and positions. Without it only a hub without `token` sends them."""
    origins: tuple[WebOrigin, ...] = ()
    """Web origins that may connect, besides programs (which send none) and pages of this machine."""
    max_clients: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """Most clients at a time, of the hub and of the gateway each."""
    capacity: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """Messages in a slow client's queue, at the hub and at the gateway."""
    ring: Annotated[int, Field(ge=0, le=10_000_000)] = 10_000
    """Messages kept for clients that resume, by the hub and by the gateway."""
    rate: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Most `MarketData` messages a second for each symbol; the newest is sent."""
    tick_ms: Annotated[int, Field(ge=0, le=50)] = 10
    """Longest time under load whose messages are sent in one write; without load nothing waits."""

    @model_validator(mode="after")
    def _needs_token(self) -> Self:
        refuse_open_host(self.host, self.token)
        return self

    @property
    def best_token(self) -> str | None:
        """The token with the most rights, for the deployment's own programs; None where none is set."""
        return self.account_token or self.token


class Metrics(Section):
    """Metrics of the flow for Prometheus."""

    enabled: bool = True
    """Serve `/metrics` at all. The API has its own."""
    host: Host = "127.0.0.1"
    """Address to listen on. Metrics contain no secrets, and need no token."""
    port: OpenPort = 9464
    """Port to listen on; 0 takes a free one, which is logged."""


class Log(Section):
    """The log of the process."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is logged."""
    format: Literal["console", "json"] = "console"
    """`console` for text, `json` for machines."""
    summary_s: Seconds = 60.0
    """Time between two summaries of what was stored."""
    file: LogFile | None = None
    """File that gets the same lines, with `-flow` or `-api` in its name, as in `data/log/marketflow-flow.log`; default:
    none.
    """
    max_bytes: Annotated[int, Field(ge=1_024, le=1_000_000_000_000)] = 10_000_000
    """Size at which the file is put aside and a new one is begun."""
    backups: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Files put aside that are kept; the oldest is deleted."""

    def file_of(self, process: str) -> Path | None:
        """The file of a process: two that rotated the same one would delete each other's lines."""
        return self.file and self.file.with_name(f"{self.file.stem}-{process}{self.file.suffix}")


class Heartbeat(Section):
    """A request to a service that raises an alarm when none comes any more."""

    url: HeartbeatUrl | None = None
    """Address that the API requests while `/health/ready` is 200; treat it as a secret. Default: none."""
    every_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """Time between two requests."""
