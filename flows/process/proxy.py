"""Which addresses are asked directly, whatever proxy the environment names.

A proxy is for what lies beyond this machine. It cannot reach our loopback: an exchange, a hub or an API that runs here
would seem to be down as soon as `HTTP_PROXY` is set without a `NO_PROXY`.
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
