"""Files of credentials of NATS (`.creds`): the token of a user, and the key that signs what the server sends.

    -----BEGIN NATS USER JWT-----
    eyJ0…
    ------END NATS USER JWT------

    -----BEGIN USER NKEY SEED-----
    SUAP…
    ------END USER NKEY SEED------

A seed is base32 of two bytes that say what it is of (`S`, and `U` for a user), the 32 bytes of an Ed25519 key, and a
CRC-16 of both (https://github.com/nats-io/nkeys). Signing needs the package `cryptography`.
"""

import base64
import binascii
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sinks.bus.stored import BusError

SEED: Final = 18 << 3
USER: Final = 20 << 3
_SEED_LENGTH: Final = 36
_PART: Final = re.compile(r"-+BEGIN ([A-Z ]+?)-+\s*([A-Za-z0-9._=-]+)\s*-+END \1-+")
_JWT: Final = "NATS USER JWT"
_KEY: Final = "USER NKEY SEED"


def parse_seed(text: str) -> bytes:
    """The private key of a user's seed. `ValueError` for anything else."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise ValueError("the seed is no base32") from None
    if len(raw) != _SEED_LENGTH or raw[0] & 0xF8 != SEED:
        raise ValueError("it is no seed of a key")
    if (raw[0] & 7) << 5 | raw[1] >> 3 != USER:
        raise ValueError("it is no seed of a user's key")
    if binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise ValueError("its checksum is wrong")
    return raw[2:-2]


def connect_by(file: Path) -> dict[str, Callable[..., Any]]:
    """The functions by which the client library shows who connects. The file is read at each connection, since tokens
    are renewed. `BusError` when it cannot be read, or is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - of another extra

    jwt, key = _read(file)
    own = Ed25519PrivateKey.from_private_bytes(key)
    return {
        "user_jwt_cb": lambda: bytearray(jwt.encode()),
        "signature_cb": lambda nonce: base64.b64encode(own.sign(nonce.encode())),
    }


def _read(file: Path) -> tuple[str, bytes]:
    try:
        return _parsed(file.read_text())
    except (OSError, ValueError) as error:
        raise BusError(
            f"bus.credentials: {file} cannot be used: {getattr(error, 'strerror', None) or error}"
        ) from error


def _parsed(text: str) -> tuple[str, bytes]:
    parts = dict(_PART.findall(text))
    if not {_JWT, _KEY} <= parts.keys():
        raise ValueError(f"it has no {_JWT} with {_KEY}")
    return parts[_JWT], parse_seed(parts[_KEY])
