"""Settings of the broadcast, the flow's metrics and the log."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flows.settings.section import Section, refuse_open_host
from flows.settings.values import Host, OpenPort, Seconds, Token, WebOrigin


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
        refuse_open_host(self.host, self.token)
        return self


class Metrics(Section):
    """What the flow counts, for Prometheus."""

    enabled: bool = True
    """Serve `/metrics` at all. The API has its own."""
    host: Host = "127.0.0.1"
    """Address to listen on. What is served holds no secrets, and needs no token."""
    port: OpenPort = 9464
    """Port to listen on; 0 takes a free one, which the log names."""


class Log(Section):
    """What the process says about itself."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is shown."""
    format: Literal["console", "json"] = "console"
    """`console` for people, `json` for machines."""
    summary_s: Seconds = 60.0
    """Time between two summaries of what was stored."""
