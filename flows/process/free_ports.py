"""Whether a port of this machine is free."""

import errno
import socket
from contextlib import suppress


def is_taken(host: str, port: int) -> bool:
    """Whether another socket listens there, so that a server cannot. A host that is not of this machine, and a port
    that this user may not have, are other errors: False.
    """
    with suppress(OSError):  # no such host
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return any(_is_taken(family, address) for family, _, _, _, address in found)
    return False


def _is_taken(family: int, address: tuple[str | int, ...] | tuple[int, bytes]) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
