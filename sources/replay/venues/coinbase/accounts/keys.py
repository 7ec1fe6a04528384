"""What API keys of Coinbase look like, and the tokens that are signed with them. Source: docs.cdp.coinbase.com.

Chosen, as it is not known: a clock may be off by `LEEWAY_S`.
"""

import base64
import re
import uuid
from importlib.util import find_spec
from typing import Any, Final

import msgspec

from sources.replay.accounts.keys import ApiKey, KeyForm, KeyRing, NewKey
from sources.replay.accounts.signatures import KeyKind

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DEMO_ID: Final = "00000000-0000-4000-8000-000000000000"
DEMO_KEY: Final = f"organizations/{_DEMO_ID}/apiKeys/{_DEMO_ID}"
"""The key of the account that is there from the begin, of ECDSA."""
DEMO_ED25519_KEY: Final = f"organizations/{_DEMO_ID}/apiKeys/{_DEMO_ID[:-1]}1"
LEEWAY_S: Final = 5
_LONGEST_S: Final = 120
_LONGEST_TOKEN: Final = 4_096
_ALGORITHMS: dict[str, KeyKind] = {"ES256": "es256", "EdDSA": "ed25519"}
_PARTS = 3
# The key pair of RFC 7515, A.3, as it is written in PEM: everyone has it, so no one takes it for a secret.
_PRIVATE = "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49AwEHoUQDQgAE"
_PUBLIC_HEAD = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
_POINT = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ=="
_ED25519_PUBLIC = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
DEMO_ED25519_PRIVATE_KEY: Final = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
"""The private key of `DEMO_ED25519_KEY`, of RFC 8032, 7.1, test 1."""


class TokenError(Exception):
    """A token that is refused, for a reason that clients do not get."""


def new_name() -> str:
    """The name of a new key."""
    return f"organizations/{uuid.uuid4()}/apiKeys/{uuid.uuid4()}"


def of_base64url(text: str) -> bytes:
    """What a part of a token holds; `ValueError` for a text that is none."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _signature(text: str, _: KeyKind) -> bytes:
    return of_base64url(text)


FORM: Final = KeyForm(
    kinds=("es256", "ed25519"),
    name=re.compile(f"organizations/{_ID}/apiKeys/{_ID}"),
    new_name=new_name,
    signature=_signature,
)


def demo_ring() -> KeyRing:
    """The keys of the demo account, where public keys can be checked."""
    ring = KeyRing(FORM)
    if find_spec("cryptography") is not None:
        ring.add(NewKey(kind="es256", api_key=DEMO_KEY, public_key=_pem("PUBLIC", _PUBLIC_HEAD + _POINT)))
        ring.add(NewKey(kind="ed25519", api_key=DEMO_ED25519_KEY, public_key=_pem("PUBLIC", _ED25519_PUBLIC)))
    return ring


def demo_private_key() -> str:
    """The private key of `DEMO_KEY`, for clients, as PEM."""
    return _pem("EC PRIVATE", _PRIVATE + _POINT)


def _pem(kind: str, content: str) -> str:
    return f"-----BEGIN {kind} KEY-----\n{content}\n-----END {kind} KEY-----\n"


class Bearers:
    """Who sends requests: by tokens that are signed."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def bearer(self, token: object, now_ms: int, uri: "re.Pattern[str] | None" = None) -> ApiKey:
        """The key of a token that is valid now, for what `uri` matches; None: for a subscription. `TokenError` for one
        that is refused.
        """
        parts = token.split(".") if isinstance(token, str) and len(token) <= _LONGEST_TOKEN else []
        if len(parts) != _PARTS:
            raise TokenError("it is no token")
        header, claims = _object(parts[0]), _object(parts[1])
        key = self._ring.get(str(header.get("kid")))
        if key is None or claims.get("sub") != key.name or claims.get("iss") != "cdp":
            raise TokenError("its key is not known")
        if _ALGORITHMS.get(str(header.get("alg"))) != key.kind or not header.get("nonce"):
            raise TokenError("its header is not as it should be")
        if not key.accepts(f"{parts[0]}.{parts[1]}".encode(), parts[2]):
            raise TokenError("its signature is wrong")
        _check_time(claims, now_ms / 1_000)
        named = claims.get("uri")
        if (named is not None) if uri is None else not (isinstance(named, str) and uri.fullmatch(named)):
            raise TokenError("it is for something else")
        return key


def _check_time(claims: dict[str, Any], now_s: float) -> None:
    begin, end = claims.get("nbf"), claims.get("exp")
    if not isinstance(begin, int) or not isinstance(end, int) or end - begin > _LONGEST_S:
        raise TokenError("it has no time, or is valid for too long")
    if not begin - LEEWAY_S <= now_s < end + LEEWAY_S:
        raise TokenError("it is not valid now")


def _object(part: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(of_base64url(part))
    except (ValueError, msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TokenError("a part of it cannot be read")
    return found
