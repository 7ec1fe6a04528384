"""The settings that connections need; the section `feed` has and describes them."""

from typing import Literal, Protocol


class ConnectionSettings(Protocol):
    """How connections are kept alive."""

    origin: Literal["live", "testnet", "replay", "synthetic"]
    transport: Literal["websockets", "picows"]
    redundancy: Literal[1, 2]
    open_timeout_s: float
    stale_after_s: float
    rotate_hours: float
    backoff_min_s: float
    backoff_max_s: float
    backoff_tries: int
    queue_frames: int
