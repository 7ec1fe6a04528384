"""Signatures equal the vectors of the documentation, and are what the replay exchange checks."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from flows.model.secret import Secret
from sources.binance.account.signing import signed_parameters, signed_query, signer_of

SECRET = Secret("NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


def test_rest_signs_the_query() -> None:
    query: dict[str, str | int] = {
        "symbol": "LTCBTC",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": 1,
        "price": "0.1",
        "recvWindow": 5000,
        "timestamp": 1499827319559,
    }
    signature = signed_query(query, signer_of(SECRET)).reveal().rpartition("=")[2]
    assert signature == "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"price": "52000.00", "quantity": "0.01000000", "recvWindow": 100, "side": "SELL", "symbol": "BTCUSDT"},
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
        ),
        (
            {
                "price": "0.10000000",
                "quantity": "1.00000000",
                "recvWindow": 5000,
                "side": "BUY",
                "symbol": "\uff11\uff12\uff13\uff14\uff15\uff16",
            },
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
    ],
)
def test_the_websocket_api_signs_sorted_parameters_that_are_not_encoded(
    changes: dict[str, str | int], expected: str
) -> None:
    parameters = {"type": "LIMIT", "timeInForce": "GTC", "timestamp": 1645423376532, "apiKey": KEY, **changes}
    assert signed_parameters(parameters, signer_of(SECRET))["signature"] == expected


def pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: str = "") -> Secret:
    protection = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection).decode())


def test_private_keys_sign_by_their_kind() -> None:
    edwards = ed25519.Ed25519PrivateKey.generate()
    edwards.public_key().verify(base64.b64decode(signer_of(pem(edwards))(b"payload")), b"payload")
    long = rsa.generate_private_key(65_537, 2_048)
    signature = base64.b64decode(signer_of(pem(long))(b"payload"))
    long.public_key().verify(signature, b"payload", padding.PKCS1v15(), SHA256())


def test_a_base64_signature_is_encoded_in_a_query() -> None:
    query = signed_query({"a": 1}, lambda _: "a+b/c==").reveal()
    assert query == "a=1&signature=a%2Bb%2Fc%3D%3D"


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (Secret("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"), "none that can be read"),
        (pem(ed25519.Ed25519PrivateKey.generate(), "hunter2"), "with a password"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "none of Ed25519, and none of RSA"),
    ],
)
def test_a_private_key_that_cannot_be_used_is_refused_without_being_shown(secret: Secret, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        signer_of(secret)
    assert "hunter2" not in str(raised.value)
    assert secret.reveal()[30:60] not in str(raised.value)
