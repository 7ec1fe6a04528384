"""Settings of the bus."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from flows.settings.section import Section, wrong_value
from flows.settings.values import BusUrl, Label, SecretText, WebUrl


class Bus(Section):
    """A stream of NATS JetStream that flows publish to, and interfaces on any host read."""

    url: tuple[BusUrl, ...] = ()
    """Addresses of the servers of one cluster, `nats://host:port` or `tls://host:port` each. With one, the flow
    publishes what its hub says, and the API follows the stream in place of a hub. Default: no bus.
    """
    stream: Label = "marketflow"
    """Name of the stream."""
    flow: Label | None = None
    """Name of this flow among those that publish to the stream; default: `flow`, its shard, as `1of2`, or with
    `feed.shard = "auto"` that of the host.
    """
    shards: Annotated[int, Field(ge=1, le=256)] = 1
    """Parts of the symbols that flows with `feed.shard = "auto"` share; the same at all of them."""
    most_shards: Annotated[int, Field(ge=0, le=256)] = 256
    """Most of these that this flow takes, each in a process of its own; 0: none, but its stores answer."""
    lease_s: Annotated[float, Field(ge=2, le=60)] = 3.0
    """How long the owner of a shard may be silent before another flow takes it; the same at all of them."""
    api_url: WebUrl | None = None
    """Where other hosts reach the interface beside this flow; without it the trades here are known here alone."""
    accounts: bool = True
    """Whether an API reads balances and positions; false for a user who may only read `mf.>`."""
    create: bool = True
    """Let the flow create the stream and bring it to these settings; false for a user who may only publish."""
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Servers that hold the stream; 3 outlive one of them."""
    duplicate_s: Annotated[float, Field(ge=1, le=86_400)] = 600.0
    """Time in which the stream drops what is published again; longer than the longest outage of a flow or of the bus
    that it is to cover.
    """
    age_hours: Annotated[float, Field(gt=0, le=8_760)] = 24.0
    """Age at which messages are deleted."""
    most_bytes: Annotated[int, Field(ge=1_000_000, le=10**15)] = 1_000_000_000
    """Size beyond which the oldest messages are deleted."""
    buffer: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    """Trades that wait while the bus is away, and as many other messages that must arrive; beyond that new ones are
    dropped, and a loss is an incident.
    """
    user: str | None = None
    """User name."""
    password: SecretText | None = Field(default=None, repr=False)
    """Its password."""
    token: SecretText | None = Field(default=None, repr=False)
    """Token, where the servers take one."""
    credentials: Path | None = None
    """File of credentials (`.creds`) of a user with a key; signing comes with `marketflow-data[keys]`."""
    tls_ca: Path | None = None
    """File of the authority that vouches for the servers; default: those of the system."""
    tls_cert: Path | None = None
    """File of the certificate that shows who connects."""
    tls_key: Path | None = None
    """File of its key."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.duplicate_s > self.age_hours * 3_600:
            key = "duplicate_s" if "duplicate_s" in self.model_fields_set else "age_hours"
            raise wrong_value(key, "duplicate_s is longer than age_hours: what is deleted cannot be known again")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise wrong_value("tls_cert" if self.tls_cert else "tls_key", "tls_cert and tls_key: set both, or none")
        return self
