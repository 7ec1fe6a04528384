"""The limit of open files and sockets of a process."""

import contextlib

try:
    import resource
except ModuleNotFoundError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_LARGEST = (1 << 20, 65_536, 10_240)
"""Tried in turn where the system names no hard limit, or does not grant it (macOS)."""


def raise_descriptor_limit() -> int | None:
    """Raises the soft limit of open descriptors to the hard one, as every client and connection takes one; usual soft
    limits are as low as 1,024 or 256. Returns the new limit; None where there is none.
    """
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, *_LARGEST):
        if limit == resource.RLIM_INFINITY or (soft != resource.RLIM_INFINITY and limit <= soft):
            continue
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return limit
    return soft
