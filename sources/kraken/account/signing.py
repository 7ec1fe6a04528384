"""Signs requests to Kraken's private REST interface (https://docs.kraken.com/exchange/guides/rest/authentication)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from flows.clock import wall_ms
from flows.model.secret import Secret
from sources.feed import Headers

_SECRET_BYTES: Final = 64
_MICROS: Final = 1_000


class Nonces:
    """Numbers that rise with each request: microseconds of the clock, or one more than the last."""

    def __init__(self, now_ms: Callable[[], int] = wall_ms) -> None:
        self._now_ms = now_ms
        self._last = 0

    def take(self) -> int:
        """The next number."""
        self._last = max(self._last + 1, self._now_ms() * _MICROS)
        return self._last


def decoded_secret(secret: Secret) -> bytes:
    """The private key in bytes; `ValueError` for a text that is none, without the text."""
    try:
        key = base64.b64decode(secret.reveal(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _SECRET_BYTES:
        raise ValueError("api_secret of kraken is the private key as Kraken shows it: 88 letters of base64")
    return key


def signature(path: str, nonce: int, body: bytes, secret: bytes) -> str:
    """`API-Sign` of a request: HMAC-SHA512 of its path and the SHA-256 of nonce and body, as base64."""
    message = path.encode() + hashlib.sha256(str(nonce).encode() + body).digest()
    return base64.b64encode(hmac.digest(secret, message, "sha512")).decode()


def signed(path: str, params: Mapping[str, str], nonce: int, key: Secret, secret: Secret) -> tuple[bytes, Headers]:
    """Body and headers of a request to a private path; what is in its query is not signed."""
    body = urlencode({"nonce": nonce, **params}).encode()
    headers = {
        "API-Key": key.reveal(),
        "API-Sign": signature(path, nonce, body, decoded_secret(secret)),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return body, Headers(headers)
