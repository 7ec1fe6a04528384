"""What the client library of NATS takes: how to connect, and how a stream is configured."""

import ssl
from typing import Any, Final

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from sinks.bus.credentials import connect_by
from sinks.bus.settings import BusAddress, BusSettings
from sinks.bus.subjects import TREES

BUCKET: Final = "KV_"
"""What the name of a bucket's stream begins with."""
_KEPT_S: Final = 7 * 86_400.0
"""How long what is no longer renewed stays in a bucket."""


def connect_options(settings: BusAddress) -> dict[str, Any]:
    """What the library takes of who connects."""
    found: dict[str, Any] = {}
    if settings.user:
        found["user"] = settings.user
    if settings.password:
        found["password"] = settings.password.reveal()
    if settings.token:
        found["token"] = settings.token.reveal()
    if settings.credentials:
        found |= connect_by(settings.credentials)
    if settings.tls_ca or settings.tls_cert:
        context = ssl.create_default_context(cafile=str(settings.tls_ca) if settings.tls_ca else None)
        if settings.tls_cert:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
        found["tls"] = context
    return found


def stream_config(settings: BusSettings) -> StreamConfig:
    """The stream of the bus."""
    return StreamConfig(
        name=settings.stream,
        subjects=list(TREES),
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        max_age=settings.age_hours * 3_600,
        max_bytes=settings.most_bytes,
        num_replicas=settings.replicas,
        duplicate_window=settings.duplicate_s,
        allow_direct=True,
    )


def differing(found: StreamConfig, wanted: StreamConfig) -> list[str]:
    """What of a configuration is not as wanted, of what the settings decide."""
    names = ("subjects", "max_age", "max_bytes", "num_replicas", "duplicate_window", "allow_direct")
    return [name for name in names if getattr(found, name) != getattr(wanted, name)]


def bucket_config(stream: str, *, replicas: int) -> StreamConfig:
    """A bucket of keys and values with the newest value of each."""
    return StreamConfig(
        name=stream,
        subjects=[f"$KV.{stream.removeprefix(BUCKET)}.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        max_age=_KEPT_S,
        num_replicas=replicas,
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_direct=True,
    )
