"""How many clients a process may serve without taking the descriptors that its connections and stores need.

The system gives each new socket the lowest free number. So a socket's number shows at no cost how many descriptors were
in use when it was accepted, and late clients have high numbers.
"""

import os
from typing import Final, NamedTuple

try:
    import resource
except ModuleNotFoundError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

ACCEPTED_AT_ONCE: Final = 16
"""Connections that an event loop accepts in one iteration (its `backlog`): after four iterations the first of them is
checked, and closed if need be.
"""
QUEUED: Final = 128
"""Connections that may wait in the kernel; they take no descriptor."""
RESERVE: Final = 64 + 2 * 4 * ACCEPTED_AT_ONCE
"""Descriptors reserved for reconnects, files of the stores, and connections that a flow's two listening sockets have
accepted but not checked.
"""
_TO_ANSWER: Final = 32
"""Descriptors below those, for clients that are refused with a response."""
_LARGEST_SHARE: Final = 4  # of a very small limit, at most a quarter is reserved for each


class DescriptorRoom(NamedTuple):
    """The descriptor limit up to which clients are served; None: no limit."""

    limit: int | None

    @property
    def clients_end(self) -> int | None:
        """A client with a descriptor not below this is refused with a response."""
        return None if self.limit is None else self._all_end(self.limit) - min(_TO_ANSWER, self.limit // _LARGEST_SHARE)

    @staticmethod
    def _all_end(limit: int) -> int:
        return limit - min(RESERVE, limit // _LARGEST_SHARE)

    def is_short(self, descriptor: int) -> bool:
        """Whether a client on this descriptor is refused."""
        end = self.clients_end
        return end is not None and descriptor >= end

    def is_out(self, descriptor: int) -> bool:
        """Whether there is not even room for a response."""
        return self.limit is not None and descriptor >= self._all_end(self.limit)

    def clients(self, most: int) -> int:
        """Number of clients that fit beside the descriptors open now, at most `most`."""
        end = self.clients_end
        return most if end is None else max(0, min(most, end - lowest_free()))


def descriptor_room() -> DescriptorRoom:
    """The room by the current limit."""
    if resource is None:
        return DescriptorRoom(None)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DescriptorRoom(None if soft == resource.RLIM_INFINITY else soft)


def lowest_free() -> int:
    """The number of the next descriptor: about as many are in use."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor
