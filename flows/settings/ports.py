"""The ports that the processes of these settings listen on, each for one of them."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from flows.settings.section import wrong_value

if TYPE_CHECKING:
    from flows.settings import Settings

_BUNDLED: Final = re.compile(r"mongodb://127\.0\.0\.1:(\d+)/?")
"""Address of a server that the deployment starts itself; every other one is the user's own."""


class Listener(NamedTuple):
    """A server of a deployment; with port 0 it takes a free one."""

    key: str
    """The setting of its port."""
    host: str
    port: int


def bundled_port(settings: "Settings") -> int | None:
    """Port of the bundled database; None where the user's own is used, or none."""
    bundled = _BUNDLED.fullmatch(settings.mongo.uri)
    return int(bundled[1]) if bundled and settings.mongo.enabled else None


def listeners(settings: "Settings") -> Iterator[Listener]:
    """Those of flow and interface."""
    hub, api, metrics = settings.hub, settings.api, settings.metrics
    if hub.enabled:
        yield Listener("hub.port", hub.host, hub.port)
    yield Listener("api.port", api.host, api.port)
    if metrics.enabled:
        yield Listener("metrics.port", metrics.host, metrics.port)


def check_ports(settings: "Settings") -> None:
    """Refuses settings in which two servers have the same port; the error names one that was set, and the other."""
    mongo_port = bundled_port(settings)
    of_commands = [
        Listener("replay.port", settings.replay.host, settings.replay.port),
        Listener("tools.port", settings.tools.host, settings.tools.port),
        *([] if mongo_port is None else [Listener("mongo.uri", "127.0.0.1", mongo_port)]),
    ]
    for one, other in combinations((*listeners(settings), *of_commands), 2):
        if one.port and one.port == other.port and _meet(one.host, other.host):
            named, beside = (one, other) if _is_set(settings, one) else (other, one)
            text = f"port {one.port} is that of {beside.key} too: choose another for one of them"
            raise wrong_value(named.key, text)


def _is_set(settings: "Settings", listener: Listener) -> bool:
    section, key = listener.key.split(".")
    return key in getattr(settings, section).model_fields_set


def _meet(one: str, other: str) -> bool:
    """Whether servers at these hosts cannot have the same port. What a name means is not known here."""
    try:
        first, second = ip_address(one), ip_address(other)
    except ValueError:
        return True
    return first == second or first.is_unspecified or second.is_unspecified
