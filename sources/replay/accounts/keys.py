"""API keys and the signatures made with them: HMAC-SHA256, Ed25519, RSA (PKCS#1 v1.5). Source: `rest-api`, SIGNED.

Public keys need `cryptography`, which comes with the extra `keys`.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from flows.process.version import how_to_install

KeyKind: TypeAlias = Literal["hmac", "ed25519", "rsa"]
Verify: TypeAlias = Callable[[bytes, bytes], bool]
"""Whether a signature, as bytes, is one of a payload."""

MOST_KEYS = 1_000
"""Most keys of an exchange."""
DEMO: Final = "demo"
"""The account that is there from the begin, and its keys."""
DEMO_KEY: Final = "replayDemoHmac".ljust(64, "0")
DEMO_SECRET: Final = "replayDemoSecret".ljust(64, "0")
DEMO_ED25519_KEY: Final = "replayDemoEd25519".ljust(64, "0")
_KEY = re.compile(r"[A-Za-z0-9]{64}")
_LEAST_RSA_BITS = 2_048
# The key pair of RFC 8032, 7.1, test 1: everyone has it, so no one takes it for a secret.
_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
_PRIVATE_FORM = bytes.fromhex("302e020100300506032b657004220420")
_PUBLIC_FORM = bytes.fromhex("302a300506032b6570032100")


def _pem(kind: str, content: bytes) -> str:
    return f"-----BEGIN {kind} KEY-----\n{base64.b64encode(content).decode()}\n-----END {kind} KEY-----\n"


def demo_private_key() -> str:
    """The private key of `DEMO_ED25519_KEY`, for clients, as PEM."""
    return _pem("PRIVATE", _PRIVATE_FORM + _SEED)


Secret = Annotated[str, Meta(max_length=4_096)]


class NewKey(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order to accept a key: of `hmac` what is left out is made; the others have a `public_key` as PEM."""

    account: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,40}$")] = DEMO
    """Whose key it is; an account that does not exist is opened."""
    kind: KeyKind = "hmac"
    api_key: Annotated[str, Meta(pattern="^[A-Za-z0-9]{64}$")] | None = None
    """What clients send in `X-MBX-APIKEY`; default a random one."""
    secret: Secret | None = None
    public_key: Secret | None = None

    def __post_init__(self) -> None:
        if self.kind == "hmac" and (self.public_key is not None or self.secret == ""):
            raise ValueError("a key of kind hmac has a secret, and no public key")
        if self.kind != "hmac" and (self.secret is not None or not self.public_key):
            raise ValueError(f"a key of kind {self.kind} has a public_key as PEM, and no secret")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that the exchange accepts. What it is checked with is in no text of it."""

    name: str
    """What clients send."""
    account: str
    kind: KeyKind
    _verify: Verify = field(repr=False)

    def accepts(self, payload: bytes, signature: str) -> bool:
        """Whether a signature, as a client sends it, is one of a payload: hexadecimal of an HMAC, else base64."""
        try:
            decoded = bytes.fromhex(signature) if self.kind == "hmac" else base64.b64decode(signature, validate=True)
        except (ValueError, binascii.Error):
            return False
        return self._verify(payload, decoded)


class KeyRing:
    """The keys of an exchange by their name, at most `MOST_KEYS`."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self._keys.values())

    def get(self, name: str) -> ApiKey | None:
        """The key of a name."""
        return self._keys.get(name)

    def add(self, new: NewKey) -> dict[str, Any]:
        """Accepts a key in place of any other of its name; what its owner has to know: `account`, `kind`, `api_key`,
        and of an HMAC key the `secret`. `ValueError` for a public key that is none, or for too many keys.
        """
        name = new.api_key or secrets.token_hex(32)
        if name not in self._keys and len(self._keys) >= MOST_KEYS:
            raise ValueError(f"{MOST_KEYS} keys are accepted already")
        secret = new.secret or secrets.token_hex(32)
        verify = _hmac(secret) if new.kind == "hmac" else _public(new.kind, new.public_key or "")
        self._keys[name] = ApiKey(name, new.account, new.kind, verify)
        shown = {"account": new.account, "kind": new.kind, "api_key": name}
        return shown | ({"secret": secret} if new.kind == "hmac" else {})


def demo_ring() -> KeyRing:
    """The keys of the demo account: one of `hmac`, and where public keys can be checked one of `ed25519`."""
    ring = KeyRing()
    ring.add(NewKey(api_key=DEMO_KEY, secret=DEMO_SECRET))
    if find_spec("cryptography") is not None:
        ring.add(NewKey(kind="ed25519", api_key=DEMO_ED25519_KEY, public_key=_pem("PUBLIC", _PUBLIC_FORM + _PUBLIC)))
    return ring


def is_key(name: str | None) -> bool:
    """Whether a text has the form of a key."""
    return name is not None and _KEY.fullmatch(name) is not None


def _hmac(secret: str) -> Verify:
    def verify(payload: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret.encode(), payload, "sha256"), signature)

    return verify


def _public(kind: KeyKind, pem: str) -> Verify:
    """Checks by a public key; `ValueError` when the text is none of that kind."""
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    except ImportError:
        raise ValueError(f"a key of kind {kind} needs cryptography: {how_to_install('keys')}") from None
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("public_key is no public key as PEM") from None

    def verify(payload: bytes, signature: bytes) -> bool:
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, payload)
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, payload, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True

    is_rsa = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS
    if not (isinstance(key, ed25519.Ed25519PublicKey) if kind == "ed25519" else is_rsa):
        raise ValueError(f"public_key is none of kind {kind}, or of RSA one of less than {_LEAST_RSA_BITS} bits")
    return verify
