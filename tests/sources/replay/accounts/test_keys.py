import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from sources.replay.accounts.keys import (
    DEMO_ED25519_KEY,
    DEMO_KEY,
    DEMO_SECRET,
    KeyRing,
    NewKey,
    demo_private_key,
    demo_ring,
)

DOC_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
DOC_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
"""The key and the secret of the examples in the exchange's own documentation."""


def pem_of(private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public.decode()


LIMIT_ORDER = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
SORTED = (
    f"apiKey={DOC_KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT"
    "&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
)
FULL_WIDTH = (
    f"apiKey={DOC_KEY}&price=0.10000000&quantity=1.00000000&recvWindow=5000&side=BUY"
    "&symbol=\uff11\uff12\uff13\uff14\uff15\uff16&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (LIMIT_ORDER, "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (SORTED, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"),
        (FULL_WIDTH, "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd"),
    ],
)
def test_the_documented_signatures_are_accepted_in_any_case_and_others_are_not(payload: str, signature: str) -> None:
    ring = KeyRing()
    ring.add(NewKey(api_key=DOC_KEY, secret=DOC_SECRET))
    key = ring.get(DOC_KEY)
    assert key is not None
    assert key.accepts(payload.encode(), signature)
    assert key.accepts(payload.encode(), signature.upper())
    wrong = ("0" if signature[0] != "0" else "1") + signature[1:]
    for refused in (wrong, signature[:-1], signature + "00", "", "not hexadecimal", "\uff11" * 64):
        assert not key.accepts(payload.encode(), refused)
    assert not key.accepts(payload.encode() + b" ", signature)


def test_the_demo_account_has_a_key_with_a_secret_and_one_with_a_private_key() -> None:
    ring = demo_ring()
    by_hmac, by_ed25519 = ring.get(DEMO_KEY), ring.get(DEMO_ED25519_KEY)
    assert by_hmac is not None
    assert by_ed25519 is not None
    assert by_hmac.accepts(b"a=1", hmac.new(DEMO_SECRET.encode(), b"a=1", hashlib.sha256).hexdigest())
    private = serialization.load_pem_private_key(demo_private_key().encode(), password=None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    signature = base64.b64encode(private.sign(b"a=1")).decode()
    assert by_ed25519.accepts(b"a=1", signature)
    assert not by_ed25519.accepts(b"a=2", signature)
    assert not by_ed25519.accepts(b"a=1", signature.swapcase())
    assert not by_ed25519.accepts(b"a=1", "!")


def test_an_rsa_key_of_a_client() -> None:
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    ring = KeyRing()
    shown = ring.add(NewKey(kind="rsa", public_key=pem_of(private)))
    assert shown.keys() == {"account", "kind", "api_key"}
    key = ring.get(shown["api_key"])
    assert key is not None
    signature = base64.b64encode(private.sign(b"a=1", padding.PKCS1v15(), SHA256())).decode()
    assert key.accepts(b"a=1", signature)
    assert not key.accepts(b"a=2", signature)


def test_what_is_no_key() -> None:
    for wrong in (
        {"kind": "ed25519"},
        {"kind": "rsa", "public_key": "x", "secret": "y"},
        {"public_key": "x"},
        {"secret": ""},
    ):
        with pytest.raises(ValueError, match="a key of kind"):
            NewKey(**wrong)  # type: ignore[arg-type]
    ring = KeyRing()
    pem = pem_of(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(ValueError, match="none of kind rsa"):
        ring.add(NewKey(kind="rsa", public_key=pem))
    with pytest.raises(ValueError, match="no public key as PEM"):
        ring.add(NewKey(kind="ed25519", public_key=demo_private_key()))
    assert list(ring) == []


def test_no_text_of_a_key_has_its_secret() -> None:
    ring = KeyRing()
    ring.add(NewKey(api_key=DOC_KEY, secret=DOC_SECRET))
    assert DOC_SECRET not in repr(list(ring))


def test_what_a_key_may_do_and_what_it_looks_like() -> None:
    ring = KeyRing()
    ring.add(NewKey(api_key=DOC_KEY, powers=("withdraw",)))
    key = ring.get(DOC_KEY)
    assert key is not None
    assert key.powers == ("withdraw",)
    for wrong in (NewKey(api_key="short"), NewKey(kind="es256", public_key="x")):
        with pytest.raises(ValueError, match="keys here are of kind hmac or ed25519 or rsa"):
            ring.add(wrong)
