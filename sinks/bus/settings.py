"""The settings that the bus uses; the section `bus` describes each."""

from pathlib import Path
from typing import Protocol

from flows.model.secret import Secret


class BusAddress(Protocol):
    """Where the servers are, and who connects."""

    url: tuple[str, ...]
    stream: str
    user: str | None
    password: Secret | None
    token: Secret | None
    credentials: Path | None
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None


class BucketSettings(BusAddress, Protocol):
    """Settings of a bucket."""

    create: bool
    replicas: int


class BusSettings(BucketSettings, Protocol):
    """Settings of the publisher."""

    duplicate_s: float
    age_hours: float
    most_bytes: int
    buffer: int
