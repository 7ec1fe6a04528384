"""Signatures of requests: HMAC-SHA256, Ed25519, RSA (PKCS#1 v1.5). Sources: `rest-api` and `web-socket-api`, SIGNED.

Over REST the query is signed as it is sent, encoded; on the WebSocket API the parameters sorted and not encoded. What
private keys sign needs `cryptography`, which comes with the extra `keys`.
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import quote, urlencode

from flows.model.secret import Secret
from flows.process.version import how_to_install
from sources.signatures import sorted_payload

Sign: TypeAlias = Callable[[bytes], str]
"""Gives the signature of a payload as the venue takes it: hexadecimal of an HMAC, else base64."""

_PEM: Final = "-----BEGIN "
_LEAST_RSA_BITS: Final = 2_048


def signer_of(secret: Secret) -> Sign:
    """What signs with a secret: of an HMAC key, or a private key as PEM. `ValueError` for one that cannot be used."""
    if secret.reveal().startswith(_PEM):
        return _private(secret)
    return lambda payload: hmac.digest(secret.reveal().encode(), payload, "sha256").hex()


def _private(secret: Secret) -> Sign:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError:
        raise ValueError(f"api_secret is a private key, which needs cryptography: {how_to_install('keys')}") from None
    try:
        key = load_pem_private_key(secret.reveal().encode(), password=None)
    except TypeError:
        raise ValueError("api_secret is a private key with a password: write it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("api_secret begins as a private key in PEM, and is none that can be read") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return lambda payload: base64.b64encode(key.sign(payload)).decode()
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA_BITS:
        return lambda payload: base64.b64encode(key.sign(payload, padding.PKCS1v15(), SHA256())).decode()
    raise ValueError(f"api_secret is a private key, but none of Ed25519, and none of RSA with {_LEAST_RSA_BITS} bits")


def signed_query(parameters: Mapping[str, str | int], sign: Sign) -> Secret:
    """The query of a REST request with its signature, percent-encoded before it is signed."""
    query = urlencode(parameters)
    return Secret(f"{query}&signature={quote(sign(query.encode()), safe='')}")


def signed_parameters(parameters: Mapping[str, str | int], sign: Sign) -> dict[str, str | int]:
    """The parameters of a request on the WebSocket API with their signature."""
    payload = sorted_payload((name, str(value)) for name, value in parameters.items())
    return {**parameters, "signature": sign(payload)}
