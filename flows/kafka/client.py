"""The configuration of the client library, librdkafka, from the settings; the section `kafka` describes them."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from flows.foreign import visible
from flows.model.secret import Secret

FRAMES: Final = "frames"
TLS_NAMES: Final = {
    "ssl.ca.location": "tls_ca",
    "ssl.certificate.location": "tls_cert",
    "ssl.key.location": "tls_key",
}
"""The library's names of the settings that are files."""
_MOST_TEXT: Final = 300

_log = structlog.get_logger("flows.kafka")


class KafkaError(Exception):
    """The brokers, or a topic of theirs, cannot be used; the text says why, and what to do."""


class KafkaSettings(Protocol):
    """Where the brokers are, who connects, and how topics are called."""

    @property
    def brokers(self) -> tuple[str, ...]:
        """Addresses, `host:port` each."""

    @property
    def prefix(self) -> str:
        """Begin of the topics' names."""

    @property
    def buffer(self) -> int:
        """Most messages of a kind that wait."""

    @property
    def user(self) -> str | None:
        """User name."""

    @property
    def password(self) -> Secret | None:
        """Its password."""

    @property
    def mechanism(self) -> str:
        """Of SASL."""

    @property
    def tls(self) -> bool:
        """Whether to connect by TLS."""

    @property
    def tls_ca(self) -> Path | None:
        """File of the authority."""

    @property
    def tls_cert(self) -> Path | None:
        """File of the certificate."""

    @property
    def tls_key(self) -> Path | None:
        """File of its key."""


def topic_of(prefix: str, *parts: str) -> str:
    """The name of a topic."""
    return ".".join((prefix, *parts))


def frames_topic(prefix: str, venue: str) -> str:
    """The name of the topic with the raw frames of a venue."""
    return topic_of(prefix, FRAMES, venue)


def client_config(settings: KafkaSettings, *, on_error: Callable[[str], None] | None = None) -> dict[str, Any]:
    """What every client has: addresses, credentials, where its own messages go. It contains a secret: it is handed to
    the library, and kept nowhere. `on_error` gets, on the thread that polls, what ails all connections.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.brokers),
        "security.protocol": ("SASL_" if settings.user else "") + ("SSL" if settings.tls else "PLAINTEXT"),
        "client.id": "marketflow",
        "logger": _library_log(),
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 5_000,
    }
    if on_error is not None:
        config["error_cb"] = lambda error: on_error(reason_of(error))
    if settings.user and settings.password:
        config["sasl.mechanism"] = settings.mechanism
        config["sasl.username"] = settings.user
        config["sasl.password"] = settings.password.reveal()
    files = {name: getattr(settings, setting) for name, setting in TLS_NAMES.items()}
    config.update({name: str(path) for name, path in files.items() if path and settings.tls})
    return config


def producer_config(settings: KafkaSettings, *, on_error: Callable[[str], None]) -> dict[str, Any]:
    """What every producer has: each message is acknowledged by all replicas in sync, and in the order in which it was
    given, however often one is sent. Messages of a key go where Java's clients would put them.
    """
    return {
        **client_config(settings, on_error=on_error),
        "enable.idempotence": True,
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
    }


def check_files(settings: KafkaSettings) -> None:
    """`KafkaError` for a file of TLS that cannot be read: the library would fail much later, and name no setting."""
    for key, path in (("tls_ca", settings.tls_ca), ("tls_cert", settings.tls_cert), ("tls_key", settings.tls_key)):
        if path is None:
            continue
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise KafkaError(f"kafka.{key}: {path} cannot be read: {error.strerror or error}") from error


def reason_of(error: object) -> str:
    """What the library says of an error, without controls and not too long."""
    text = getattr(error, "str", None)
    return visible(str(text() if callable(text) else error))[:_MOST_TEXT]


def shown(brokers: Sequence[str]) -> str:
    """The brokers, for a message."""
    return ", ".join(brokers[:3]) + (", …" if len(brokers) > 3 else "")  # noqa: PLR2004 - enough to recognise them


class _ToLog(logging.Handler):
    """The library's own messages: they are repeated with each attempt, so only the debug log has them. What matters of
    them is an error that its callbacks are given too.
    """

    def emit(self, record: logging.LogRecord) -> None:
        _log.debug("kafka_library", text=visible(record.getMessage())[:_MOST_TEXT])


def _library_log() -> logging.Logger:
    logger = logging.getLogger("marketflow.kafka")
    if not logger.handlers:
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        logger.addHandler(_ToLog())
    return logger
