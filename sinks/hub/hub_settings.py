"""What the hub needs of the settings. The section `hub` has all of it, and says what each means."""

from typing import Protocol


class HubSettings(Protocol):
    """How the broadcast is served, and to whom."""

    host: str
    port: int
    token: str | None
    origins: tuple[str, ...]
    max_clients: int
    capacity: int
    ring: int
    rate: int
    tick_ms: int
