"""Signatures that the client of a venue and the replay exchange make alike: the owner of these forms. Pure."""

import hmac
from collections.abc import Iterable


def sorted_payload(parameters: Iterable[tuple[str, str]]) -> bytes:
    """What a request on a WebSocket API is signed as: every parameter but `signature`, sorted by name, not encoded."""
    pairs = sorted((name, value) for name, value in parameters if name != "signature")
    return "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")


def hmac_sha256(secret: str, payload: bytes) -> bytes:
    """The HMAC-SHA256 of a payload."""
    return hmac.digest(secret.encode(), payload, "sha256")
