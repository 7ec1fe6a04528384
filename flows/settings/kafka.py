"""Settings of Kafka."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flows.kafka.client import FRAMES
from flows.settings.section import Section, wrong_value
from flows.settings.values import Label, SecretText, Server, is_loopback


class Kafka(Section):
    """Kafka, or a server that speaks its protocol: topics that flows publish to, and raw frames that they read."""

    brokers: tuple[Server, ...] = ()
    """Some of the brokers of a cluster, `host:port` each. Default: no Kafka."""
    prefix: Label = "marketflow"
    """Begin of the names of all topics: `<prefix>.trades`, `.candles`, `.incidents`, and `.frames.<venue>`."""
    publish: tuple[Literal["trades", "candles", "incidents", "frames"], ...] = ("trades", "candles", "incidents")
    """What the flow publishes: trades, closed candles, incidents; `frames` are the raw messages of the venues, as they
    come.
    """
    read_frames: bool = False
    """Take the raw messages from `<prefix>.frames.<venue>`, in place of connections to the venues."""
    begin: Literal["earliest", "latest"] = "earliest"
    """Where reading begins: at the first message that a topic still has, or behind the last. A flow with a recovered
    state goes on where that was written.
    """
    stop_at_end: bool = False
    """End the flow where the topics ended when it was started, as for the past alone."""
    buffer: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    """Trades that wait while the brokers are away, as many other messages, and as many raw ones; beyond that new ones
    are dropped, and a loss is an incident.
    """
    user: str | None = None
    """User name (SASL)."""
    password: SecretText | None = Field(default=None, repr=False)
    """Its password; best in a file that `MARKETFLOW_KAFKA__PASSWORD_FILE` names."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the user proves who it is. `PLAIN` sends the password, so it needs `tls`, but to this machine."""
    tls: bool = False
    """Connect by TLS."""
    tls_ca: Path | None = None
    """File of the authority that vouches for the brokers; default: those of the system."""
    tls_cert: Path | None = None
    """File of the certificate that shows who connects."""
    tls_key: Path | None = None
    """File of its key."""

    @property
    def stops_at_end(self) -> bool:
        """Whether the input ends by itself."""
        return self.is_read and self.stop_at_end

    @property
    def publishes(self) -> bool:
        """Whether anything but raw frames is published."""
        return bool(self.brokers) and any(kind != FRAMES for kind in self.publish)

    @property
    def publishes_frames(self) -> bool:
        """Whether raw frames are published."""
        return bool(self.brokers) and FRAMES in self.publish

    @property
    def is_read(self) -> bool:
        """Whether frames come from topics."""
        return bool(self.brokers) and self.read_frames

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.read_frames and not self.brokers:
            raise wrong_value("read_frames", "there is nothing to read them from: set kafka.brokers")
        if self.read_frames and FRAMES in self.publish:
            raise wrong_value("publish", "frames that are read from a topic are not published again: leave one out")
        if bool(self.user) != bool(self.password):
            raise wrong_value("user" if self.user else "password", "user and password: set both, or none")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise wrong_value("tls_cert" if self.tls_cert else "tls_key", "tls_cert and tls_key: set both, or none")
        if not self.tls and (self.tls_ca or self.tls_cert):
            raise wrong_value("tls_ca" if self.tls_ca else "tls_cert", "it is used with TLS alone: set tls = true")
        if self.user and self.mechanism == "PLAIN" and not self.tls and not self._is_local():
            raise wrong_value("mechanism", "PLAIN sends the password in plain text: set tls = true, or use SCRAM")
        return self

    def _is_local(self) -> bool:
        return all(is_loopback(broker.rpartition(":")[0].strip("[]")) for broker in self.brokers)
