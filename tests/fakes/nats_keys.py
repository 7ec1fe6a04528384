"""Operators, accounts and users of NATS by keys: the tokens that a server in operator mode wants."""

import base64
import binascii
import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SEED: Final = 18 << 3
KINDS: Final = {"operator": 14 << 3, "account": 0, "user": 20 << 3}


class Key:
    """A key pair of a kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._private = Ed25519PrivateKey.generate()

    @property
    def public(self) -> str:
        """Its public name."""
        return _encoded(bytes([KINDS[self.kind]]) + self._private.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """Its secret."""
        kind = KINDS[self.kind]
        return _encoded(bytes([_SEED | kind >> 5, (kind & 31) << 3]) + self._private.private_bytes_raw())

    def token(self, name: str, of: "Key", claims: dict[str, Any]) -> str:
        """A token about another key, or this one, signed by it."""
        body = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": of.public}
        body["nats"] = {**claims, "type": of.kind, "version": 2}
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        parts = [_url(json.dumps(one).encode()) for one in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)]
        text = ".".join(parts)
        return f"{text}.{_url(self._private.sign(text.encode()))}"


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def credentials(file: Path, token: str, key: Key) -> Path:
    """Writes a file of credentials."""
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{key.seed}\n------END USER NKEY SEED------\n"
    )
    return file


UNLIMITED: Final = {
    "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1,
    "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
}  # fmt: skip

NO_STREAMS: Final = {"mem_storage": 0, "disk_storage": 0, "streams": 0, "consumer": 0}


class Operator:
    """An operator with accounts and users."""

    def __init__(self) -> None:
        self._key = Key("operator")
        self._accounts: dict[str, Key] = {}

    def account(self, name: str) -> Key:
        """An account, made at first."""
        return self._accounts.setdefault(name, Key("account"))

    def user(self, file: Path, account: str, *, publish: list[str], subscribe: list[str]) -> Path:
        """The credentials of a user of an account with these permissions."""
        key = Key("user")
        rights = {"pub": {"allow": publish}, "sub": {"allow": subscribe}, "subs": -1, "data": -1, "payload": -1}
        return credentials(file, self.account(account).token(file.stem, key, rights), key)

    def config(self) -> str:
        """What a server needs of it."""
        limits = {name: UNLIMITED | (NO_STREAMS if name == "system" else {}) for name in self._accounts}
        preload = "\n".join(
            f"{key.public}: {self._key.token(name, key, {'limits': limits[name]})}"
            for name, key in self._accounts.items()
        )
        own = self._key.token("operator", self._key, {})
        system = self.account("system").public
        return f"operator: {own}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{\n{preload}\n}}"
