"""What connections need of the settings. The section `feed` has all of it, and says what each means."""

from typing import Literal, Protocol


class LineSettings(Protocol):
    """How lines are kept alive."""

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
