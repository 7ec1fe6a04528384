"""Addresses that are connected to directly, whatever proxy the environment names.

A proxy cannot reach this machine's loopback: a local exchange, hub or API would seem to be down as soon as `HTTP_PROXY`
is set without a `NO_PROXY`.
"""

from ipaddress import ip_address
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
