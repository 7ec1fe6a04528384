"""What API keys of Kraken look like, and who sent a request. Source: docs.kraken.com, Spot REST Authentication."""

import base64
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl

from sources.replay.accounts.keys import ApiKey, KeyForm, KeyRing, NewKey, Power
from sources.replay.accounts.signatures import KeyKind, Verify, hmac_of

DEMO_KEY: Final = "replayDemoKraken".ljust(56, "0")
DEMO_SECRET: Final = base64.b64encode(b"replayDemoSecret".ljust(64, b"0")).decode()
"""The key of the account that is there from the begin."""
_NAME_BYTES, _SECRET_BYTES = 42, 64
_READ = ("query-funds", "query-open-trades", "query-closed-trades", "query-ledger", "create-ws-token")
_OF_POWERS: Mapping[Power, tuple[str, ...]] = {
    "trade": ("modify-trades", "close-trades"),
    "withdraw": ("withdraw-funds",),
}


class KrakenKeyError(Exception):
    """A request that is refused for its key, nonce or signature, with the text of `error`."""


def _hmac(secret: str) -> Verify:
    return hmac_of(base64.b64decode(secret, validate=True), "sha512")


def _signature(text: str, _: KeyKind) -> bytes:
    return base64.b64decode(text, validate=True)


FORM: Final = KeyForm(
    kinds=("hmac",),
    name=re.compile(r"[A-Za-z0-9+/]{56}"),
    new_name=lambda: base64.b64encode(secrets.token_bytes(_NAME_BYTES)).decode(),
    new_secret=lambda: base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode(),
    hmac=_hmac,
    signature=_signature,
)


def demo_ring() -> KeyRing:
    """The key of the demo account."""
    ring = KeyRing(FORM)
    ring.add(NewKey(api_key=DEMO_KEY, secret=DEMO_SECRET))
    return ring


def permissions_of(key: ApiKey) -> list[str]:
    """What a key may do, in the venue's words."""
    return [*_READ, *(word for power in key.powers for word in _OF_POWERS[power])]


class Callers:
    """Who sends requests: by key, nonce and signature. Nonces of a key rise."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._nonces: dict[str, int] = {}

    def caller(self, path: str, headers: Mapping[str, str], body: bytes) -> ApiKey:
        """The key of a request; `KrakenKeyError` for one that is refused."""
        key = self._ring.get(headers.get("API-Key", ""))
        if key is None:
            raise KrakenKeyError("EAPI:Invalid key")
        nonce = dict(parse_qsl(body.decode("utf-8", "replace"))).get("nonce", "")
        if not (nonce.isascii() and nonce.isdigit() and int(nonce[:20]) < 2**64):
            raise KrakenKeyError("EAPI:Invalid nonce")
        if not key.accepts(path.encode() + sha256(nonce.encode() + body).digest(), headers.get("API-Sign", "")):
            raise KrakenKeyError("EAPI:Invalid signature")
        if int(nonce) <= self._nonces.get(key.name, 0):
            raise KrakenKeyError("EAPI:Invalid nonce")
        self._nonces[key.name] = int(nonce)
        return key
