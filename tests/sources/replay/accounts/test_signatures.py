import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sources.replay.accounts.signatures import hmac_of, public_of

RFC_7515_X = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
RFC_7515_Y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
RFC_7515_SIGNED = (
    b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAs"
    b"DQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
RFC_7515_SIGNATURE = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
"""RFC 7515, A.3: a token that is signed with ES256, and its key."""


def of_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def pem_of(key: object) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[attr-defined, no-any-return]


def test_the_signature_of_the_standard_is_accepted_and_others_are_not() -> None:
    x, y = (int.from_bytes(of_base64url(text)) for text in (RFC_7515_X, RFC_7515_Y))
    verify = public_of("es256", pem_of(EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()))
    signature = of_base64url(RFC_7515_SIGNATURE)
    assert verify(RFC_7515_SIGNED, signature)
    assert not verify(RFC_7515_SIGNED + b" ", signature)
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(64), signature[32:] + signature[:32]):
        assert not verify(RFC_7515_SIGNED, wrong)


def test_a_key_of_another_kind_is_refused() -> None:
    ed25519, p384 = Ed25519PrivateKey.generate().public_key(), generate_private_key(SECP384R1()).public_key()
    for wrong in (ed25519, p384):
        with pytest.raises(ValueError, match="none of kind es256"):
            public_of("es256", pem_of(wrong))
    with pytest.raises(ValueError, match="none of kind ed25519"):
        public_of("ed25519", pem_of(p384))


def test_the_digest_of_an_hmac_is_that_of_the_venue() -> None:
    # RFC 4231, test case 2
    expected = (
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250"
        "5549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    )
    signature = bytes.fromhex(expected)
    assert hmac_of(b"Jefe", "sha512")(b"what do ya want for nothing?", signature)
    assert not hmac_of(b"Jefe")(b"what do ya want for nothing?", signature)
