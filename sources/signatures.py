"""What is signed, where a venue's client and the replay exchange must make the same of a request: the owner of it."""

from collections.abc import Iterable


def sorted_payload(parameters: Iterable[tuple[str, str]]) -> bytes:
    """What a request on a WebSocket API is signed as: every parameter but `signature`, sorted by name, not encoded."""
    pairs = sorted((name, value) for name, value in parameters if name != "signature")
    return "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")
