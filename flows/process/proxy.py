"""What a client of an address needs to know of it: whether it is connected to directly, whatever proxy the environment
names, and which certificates it trusts.

A proxy cannot reach this machine's loopback: a local exchange, hub or API would seem to be down as soon as `HTTP_PROXY`
is set without a `NO_PROXY`.
"""

from functools import cache
from ipaddress import ip_address
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether an address stays on this machine: `localhost` and names below it, 127.0.0.0/8, ::1."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def trusted_by(url: str) -> SSLContext | bool:
    """What a client of this address alone verifies certificates with, as `httpx` takes it. Reading those that a system
    trusts takes 30 ms; a client of a plain address does not read them, and trusts no certificate.
    """
    return _nothing_trusted() if url.lower().startswith("http://") else True


@cache
def _nothing_trusted() -> SSLContext:
    return SSLContext(PROTOCOL_TLS_CLIENT)
