"""What is proven of a venue's data."""

from msgspec import Struct


class Capability(Struct, frozen=True):
    """What is proven of one kind of a venue's data, in words for the user."""

    kind: str
    """`trades`, `candles`, `book`, …"""
    proven: str
    """What is proven; empty where nothing is."""
    witness: str
    """What proves it; empty where nothing does."""
    blind_spots: tuple[str, ...] = ()
    """What no witness covers, a sentence each."""
