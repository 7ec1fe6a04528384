"""API keys of an exchange's accounts: their names, whose they are, what they may do, and how what they sign is checked.

What a key of a venue looks like is a `KeyForm`; the usual one is Binance's (`rest-api`, SIGNED).
"""

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from sources.replay.accounts.signatures import KeyKind, Verify, hmac_of, public_of

Power: TypeAlias = Literal["trade", "withdraw"]

MOST_KEYS = 1_000
"""Most keys of an exchange."""
DEMO: Final = "demo"
"""The account that is there from the begin, and its keys."""
DEMO_KEY: Final = "replayDemoHmac".ljust(64, "0")
DEMO_SECRET: Final = "replayDemoSecret".ljust(64, "0")
DEMO_ED25519_KEY: Final = "replayDemoEd25519".ljust(64, "0")
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


def signature_bytes(signature: str, kind: KeyKind) -> bytes:
    """A signature as Binance's clients send it: hexadecimal of an HMAC, else base64; `ValueError` for any other."""
    return bytes.fromhex(signature) if kind == "hmac" else base64.b64decode(signature, validate=True)


class KeyForm(NamedTuple):
    """What the keys of a venue look like."""

    kinds: tuple[KeyKind, ...] = ("hmac", "ed25519", "rsa")
    name: re.Pattern[str] = re.compile(r"[A-Za-z0-9]{64}")
    new_name: Callable[[], str] = lambda: secrets.token_hex(32)
    new_secret: Callable[[], str] = lambda: secrets.token_hex(32)
    hmac: Callable[[str], Verify] = lambda secret: hmac_of(secret.encode())
    """The check by a secret; `ValueError` for a text that cannot be one."""
    signature: Callable[[str, KeyKind], bytes] = signature_bytes
    """The bytes of a signature as clients send it; `ValueError` for a text that is none."""


BINANCE: Final = KeyForm()

Secret = Annotated[str, Meta(max_length=4_096)]


class NewKey(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order to accept a key: of `hmac` what is left out is made; the others have a `public_key` as PEM."""

    account: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,40}$")] = DEMO
    """Whose key it is; an account that does not exist is opened."""
    kind: KeyKind = "hmac"
    api_key: Annotated[str, Meta(max_length=200)] | None = None
    """The name that clients send; default a random one."""
    secret: Secret | None = None
    public_key: Secret | None = None
    powers: tuple[Power, ...] = ()
    """What it may do besides reading."""

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
    powers: tuple[Power, ...]
    _verify: Verify = field(repr=False)
    _signature: Callable[[str, KeyKind], bytes] = field(repr=False)

    def accepts(self, payload: bytes, signature: str) -> bool:
        """Whether a signature, as a client sends it, is one of a payload."""
        try:
            decoded = self._signature(signature, self.kind)
        except (ValueError, binascii.Error):
            return False
        return self._verify(payload, decoded)


class KeyRing:
    """The keys of an exchange by their name, at most `MOST_KEYS`."""

    def __init__(self, form: KeyForm = BINANCE) -> None:
        self._form = form
        self._keys: dict[str, ApiKey] = {}

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self._keys.values())

    def get(self, name: str) -> ApiKey | None:
        """The key of a name."""
        return self._keys.get(name)

    def add(self, new: NewKey) -> dict[str, Any]:
        """Accepts a key in place of any other of its name; what its owner has to know: `account`, `kind`, `api_key`,
        and of an HMAC key the `secret`. `ValueError` for what is no key of the venue, or for too many.
        """
        form = self._form
        name = new.api_key or form.new_name()
        if new.kind not in form.kinds or not form.name.fullmatch(name):
            raise ValueError(f"keys here are of kind {' or '.join(form.kinds)}, with a name like {form.name.pattern}")
        if name not in self._keys and len(self._keys) >= MOST_KEYS:
            raise ValueError(f"{MOST_KEYS} keys are accepted already")
        secret = new.secret or form.new_secret()
        verify = form.hmac(secret) if new.kind == "hmac" else public_of(new.kind, new.public_key or "")
        self._keys[name] = ApiKey(name, new.account, new.kind, new.powers, verify, form.signature)
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
    return name is not None and BINANCE.name.fullmatch(name) is not None
