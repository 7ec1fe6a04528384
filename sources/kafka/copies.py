"""Copies of the frames of a venue's connections, on their way to the flow."""

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from flows.model import RawFrames
from sources.feed import DesiredStreams, VenueFeed
from sources.kafka.channels import Channels


class FrameStore(Protocol):
    """Takes frames."""

    def put(self, symbol: str, line: str, payload: bytes, received_ns: int) -> None:
        """A frame of an instrument, or of no single one where `symbol` is empty. Never waits, never fails."""

    def close(self) -> None:
        """Stores what is left, within some seconds."""


class FrameCopies:
    """Copies the frames of all partitions of a source; the last that closes closes the store."""

    def __init__(self, feed: VenueFeed, store: FrameStore) -> None:
        """`feed` is used by the flow's threads alone."""
        self._channels = Channels(feed)
        self._store = store
        self._users = 0
        self._lock = threading.Lock()

    def follow(self, desired: DesiredStreams) -> None:
        """Sets the desired streams."""
        self._channels.follow(desired)

    def open(self) -> "FrameCopy":
        """For one more partition."""
        with self._lock:
            self._users += 1
        return FrameCopy(self._channels, self._store, self._release)

    def _release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
        self._store.close()


class FrameCopy:
    """Copies the frames of one partition."""

    def __init__(self, channels: Channels, store: FrameStore, release: Callable[[], None]) -> None:
        self._channels = channels
        self._put = store.put
        self._release: Callable[[], None] | None = release

    def take(self, polled: Iterable[object]) -> None:
        """Takes what a poll has brought."""
        symbol_of, put = self._channels.symbol_of, self._put
        for item in polled:
            if isinstance(item, RawFrames):
                for payload in item.payloads:
                    put(symbol_of(payload), item.line, payload, item.received_ns)

    def close(self) -> None:
        """Ends it, once."""
        release, self._release = self._release, None
        if release:
            release()
