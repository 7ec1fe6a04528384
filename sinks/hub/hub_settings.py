"""The settings that the hub uses; the section `hub` describes each."""

from typing import Protocol


class HubSettings(Protocol):
    """Settings of the broadcast."""

    host: str
    port: int
    token: str | None
    account_token: str | None
    origins: tuple[str, ...]
    max_clients: int
    capacity: int
    ring: int
    rate: int
    tick_ms: int
