"""Settings of the API and its analyses."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from flows.settings.section import Section, refuse_open_host, wrong_value
from flows.settings.values import Days, Host, HubUrl, OpenPort, Seconds, Token, WebOrigin, WebUrl, check_timeframes


class Api(Section):
    """The REST interface and the page."""

    host: Host = "127.0.0.1"
    """Address to listen on; any other than loopback needs `token`."""
    port: OpenPort = 8080
    """Port to listen on; 0 takes a free one."""
    token: Token | None = Field(default=None, repr=False)
    """Token that callers must send as `Authorization: Bearer …` or `?token=…`; page, documentation and health are open.
    """
    account_token: Token | None = Field(default=None, repr=False)
    """Token of callers who may also have balances and positions. Without it only an interface without `token`
    has them, of a hub without tokens.
    """
    cors: tuple[WebOrigin, ...] = ()
    """Web origins that may call, besides programs (which send none) and pages of this machine."""
    hub_urls: tuple[HubUrl, ...] = ()
    """The hubs to follow, `ws://host:port/ws` each; default: the one of these settings."""
    page_hub_urls: tuple[HubUrl, ...] = ()
    """The same hubs as the page reaches them, where its browser needs other addresses, as of a container; default:
    `hub_urls`.
    """
    peer_urls: tuple[WebUrl, ...] = ()
    """Interfaces of other hosts, `http://host:port` each, that have trades of shards that are followed there; `token`
    is sent to them. With `feed.shard = "auto"` those of `bus.api_url` are known besides.
    """
    cache_size: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """Candles held in memory for each symbol and timeframe."""
    body_bytes: Annotated[int, Field(ge=1_024, le=1_000_000_000)] = 65_536
    """Longest body of a request."""
    store_timeout_s: Seconds = 5.0
    """Longest wait for the database."""
    price_age_s: Seconds = 1.0
    """Prices older than this are marked `stale`, where the flow does not report how current they are."""
    book_age_s: Seconds = 5.0
    """Order books older than this are marked `stale`, where the flow does not report how current they are."""
    indicator_age_s: Seconds = 60.0
    """Age from which candles, indicators and analyses are `stale`; a whole period later where the flow reports how
    current they are.
    """

    @model_validator(mode="after")
    def _needs_token(self) -> Self:
        refuse_open_host(self.host, self.token)
        return self

    @property
    def best_token(self) -> str | None:
        """The token with the most rights, for the deployment's own programs; None where none is set."""
        return self.account_token or self.token


Weight = Annotated[float, Field(ge=0, le=1_000_000)]


class Analysis(Section):
    """Weights of the analysis over several timeframes; each is relative to the others of its group."""

    timeframes: dict[str, Weight] = {"1m": 0.5, "5m": 1, "15m": 1, "1h": 2, "4h": 2, "1d": 1}  # noqa: RUF012 - pydantic copies it
    """Weight by timeframe; one that is missing, or has 0, does not count."""
    trend: Weight = 0.5
    """Weight of the trend in a timeframe's score."""
    momentum: Weight = 0.3
    """Weight of the momentum."""
    volume: Weight = 0.2
    """Weight of the taker volume."""
    store: bool = True
    """Whether the API stores the analysis of every followed symbol once a minute."""
    retention_days: Days = 7
    """Days that those are kept, from when they were made; 0 keeps them for ever."""

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
            raise wrong_value("trend", "trend, momentum and volume have no weight: at least one must be above 0")
        return self
