"""How many clients a process may serve without taking the descriptors that its lines and stores need.

The system gives each new socket the lowest number that is free. So a socket's own number says how many descriptors
were in use when it came, at no cost, and clients that come late are the ones with high numbers.
"""

import os
from typing import Final, NamedTuple

try:
    import resource
except ModuleNotFoundError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

ACCEPTED_AT_ONCE: Final = 16
"""Connections that an event loop takes over in one turn (its `backlog`): it takes four turns until the first of them
is looked at, and closed if need be.
"""
QUEUED: Final = 128
"""Connections that wait in the kernel meanwhile; they cost no descriptor."""
RESERVE: Final = 64 + 2 * 4 * ACCEPTED_AT_ONCE
"""Descriptors that clients never get: lines that reconnect, files of the stores, and what a flow's two listening
sockets have taken over unseen.
"""
_TO_ANSWER: Final = 32
"""Descriptors below those, for clients that are refused with an answer."""
_LARGEST_SHARE: Final = 4  # of a very small limit, a quarter is kept at most for each


class DescriptorRoom(NamedTuple):
    """Up to which descriptor clients are served; None: there is no limit."""

    limit: int | None

    @property
    def clients_end(self) -> int | None:
        """A client whose descriptor is not below this is refused, with an answer."""
        return None if self.limit is None else self._all_end(self.limit) - min(_TO_ANSWER, self.limit // _LARGEST_SHARE)

    @staticmethod
    def _all_end(limit: int) -> int:
        return limit - min(RESERVE, limit // _LARGEST_SHARE)

    def is_short(self, descriptor: int) -> bool:
        """Whether a client on this descriptor is one too many."""
        end = self.clients_end
        return end is not None and descriptor >= end

    def is_out(self, descriptor: int) -> bool:
        """Whether there is not even room to tell it so."""
        return self.limit is not None and descriptor >= self._all_end(self.limit)

    def clients(self, most: int) -> int:
        """How many clients there is room for besides what is open now, and at most `most`."""
        end = self.clients_end
        return most if end is None else max(0, min(most, end - lowest_free()))


def descriptor_room() -> DescriptorRoom:
    """The room by the limit that holds now."""
    if resource is None:
        return DescriptorRoom(None)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DescriptorRoom(None if soft == resource.RLIM_INFINITY else soft)


def lowest_free() -> int:
    """The number that the next descriptor gets: about as many are in use."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor
