"""Signed tokens (JWT) for Coinbase's API keys (https://docs.cdp.coinbase.com/coinbase-app/authentication-authorization).

A key is of ECDSA (P-256) or of Ed25519. What signs is `cryptography`, which comes with the extra `keys`; RFC 7515 says
how a token is written, RFC 7518, 3.4, and RFC 8037 how its signature is.
"""

import base64
import binascii
import secrets
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from flows.model.secret import Secret
from flows.process.version import how_to_install

Algorithm: TypeAlias = Literal["ES256", "EdDSA"]

LIFE_S: Final = 120
"""How long a token is valid."""
_NONCE_BYTES: Final = 16
_NUMBER_BYTES: Final = 32
_SEED_BYTES: Final = 32
_LENGTHS: Final = (_SEED_BYTES, 2 * _SEED_BYTES)
"""An Ed25519 key in base64 is its seed, alone or with the public key behind it."""
_NO_KEY: Final = (
    "api_secret of coinbase is the private key that was shown with the key: a PEM that begins with "
    "-----BEGIN EC PRIVATE KEY-----, or of Ed25519 88 letters of base64"
)


class Signer(NamedTuple):
    """What signs: how, and with a key that no text of it shows."""

    algorithm: Algorithm
    sign: Callable[[bytes], bytes]

    def __repr__(self) -> str:
        """The algorithm alone."""
        return f"Signer({self.algorithm})"


def signer_of(secret: Secret) -> Signer:
    """What signs with a private key; `ValueError` for a text that is none, without the text."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra
    except ImportError:
        raise ValueError(f"an account of coinbase needs cryptography: {how_to_install('keys')}") from None
    key = _private_key(secret)
    if isinstance(key, Ed25519PrivateKey):
        return Signer("EdDSA", key.sign)
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return Signer("ES256", _es256(key))
    raise ValueError(_NO_KEY)


def _private_key(secret: Secret) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        if secret.reveal().lstrip().startswith("-----BEGIN"):
            # the file that the venue offers has the line ends as two letters
            return load_pem_private_key(secret.reveal().replace("\\n", "\n").encode(), password=None)
        decoded = base64.b64decode(secret.reveal(), validate=True)
        return Ed25519PrivateKey.from_private_bytes(decoded[:_SEED_BYTES]) if len(decoded) in _LENGTHS else None
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error):
        return None


def _es256(key: Any) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    def sign(payload: bytes) -> bytes:
        numbers = decode_dss_signature(key.sign(payload, ECDSA(SHA256())))
        return b"".join(number.to_bytes(_NUMBER_BYTES) for number in numbers)

    return sign


def token(signer: Signer, name: Secret, now_s: int, uri: str = "") -> str:
    """A token of a key, valid from now on; `uri` is what it is for, as `GET api.coinbase.com/api/v3/brokerage/accounts`
    without a query, and empty for a subscription.
    """
    nonce = secrets.token_hex(_NONCE_BYTES)
    header = {"alg": signer.algorithm, "kid": name.reveal(), "nonce": nonce, "typ": "JWT"}
    claims = {"sub": name.reveal(), "iss": "cdp", "nbf": now_s, "exp": now_s + LIFE_S, **({"uri": uri} if uri else {})}
    signed = b".".join(base64url(msgspec.json.encode(part)) for part in (header, claims))
    return b".".join((signed, base64url(signer.sign(signed)))).decode()


def base64url(content: bytes) -> bytes:
    """As RFC 7515 writes it: without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=")
