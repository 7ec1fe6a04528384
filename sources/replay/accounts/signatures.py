"""Checks of signatures: HMAC, Ed25519, RSA (PKCS#1 v1.5), ECDSA over P-256. Public keys need `cryptography`, which
comes with the extra `keys`.
"""

import hmac
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from flows.process.version import how_to_install

KeyKind: TypeAlias = Literal["hmac", "ed25519", "rsa", "es256"]
Verify: TypeAlias = Callable[[bytes, bytes], bool]
"""Whether a signature, as bytes, is one of a payload."""

_LEAST_RSA_BITS = 2_048
_NUMBER_BYTES = 32
"""A signature of ECDSA over P-256 is two numbers of this length, as RFC 7518, 3.4, writes it."""


def hmac_of(secret: bytes, digest: str = "sha256") -> Verify:
    """Checks by a secret."""

    def verify(payload: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, payload, digest), signature)

    return verify


def public_of(kind: KeyKind, pem: str) -> Verify:
    """Checks by a public key; `ValueError` when the text is none of that kind."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    except ImportError:
        raise ValueError(f"a key of kind {kind} needs cryptography: {how_to_install('keys')}") from None
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("public_key is no public key as PEM") from None
    check = {"ed25519": _ed25519, "rsa": _rsa, "es256": _es256}[kind](key)
    if check is None:
        more = f", or of RSA one of less than {_LEAST_RSA_BITS} bits" if kind == "rsa" else ""
        raise ValueError(f"public_key is none of kind {kind}{more}")
    return _refusing(check)


def _refusing(check: Callable[[bytes, bytes], None]) -> Verify:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    def verify(payload: bytes, signature: bytes) -> bool:
        try:
            check(payload, signature)
        except InvalidSignature:
            return False
        return True

    return verify


def _ed25519(key: Any) -> Callable[[bytes, bytes], None] | None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    if not isinstance(key, Ed25519PublicKey):
        return None
    return lambda payload, signature: key.verify(signature, payload)


def _rsa(key: Any) -> Callable[[bytes, bytes], None] | None:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    if not isinstance(key, RSAPublicKey) or key.key_size < _LEAST_RSA_BITS:
        return None
    return lambda payload, signature: key.verify(signature, payload, PKCS1v15(), SHA256())


def _es256(key: Any) -> Callable[[bytes, bytes], None] | None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        return None

    def check(payload: bytes, signature: bytes) -> None:
        if len(signature) != 2 * _NUMBER_BYTES:
            raise InvalidSignature
        numbers = (int.from_bytes(part) for part in (signature[:_NUMBER_BYTES], signature[_NUMBER_BYTES:]))
        key.verify(encode_dss_signature(*numbers), payload, ECDSA(SHA256()))

    return check
