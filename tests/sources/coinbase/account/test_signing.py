import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from flows.model.secret import Secret
from sources.coinbase.account.signing import Signer, base64url, signer_of, token
from sources.replay.venues.coinbase.accounts.keys import DEMO_ED25519_PRIVATE_KEY, DEMO_KEY, demo_private_key

NOW_S = 1_767_225_600
URI = "GET api.coinbase.com/api/v3/brokerage/accounts"
RFC_8037_SIGNATURE = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
"""RFC 8037, A.4: what the key of RFC 8032, 7.1, test 1, makes of the payload below."""


def test_the_signature_of_ed25519_is_that_of_the_standard() -> None:
    signed = base64url(b'{"alg":"EdDSA"}') + b"." + base64url(b"Example of Ed25519 signing")
    with_public = base64.b64encode(
        base64.b64decode(DEMO_ED25519_PRIVATE_KEY)
        + bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    ).decode()
    for secret in (DEMO_ED25519_PRIVATE_KEY, with_public):
        signer = signer_of(Secret(secret))
        assert (signer.algorithm, base64url(signer.sign(signed)).decode()) == ("EdDSA", RFC_8037_SIGNATURE)


@pytest.mark.parametrize("secret", [demo_private_key(), demo_private_key().replace("\n", "\\n"), "ed25519"])
def test_another_library_accepts_the_tokens(secret: str) -> None:
    own = Ed25519PrivateKey.from_private_bytes(base64.b64decode(DEMO_ED25519_PRIVATE_KEY))
    pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signer = signer_of(Secret(pem if secret == "ed25519" else secret))
    public: Any = (own if secret == "ed25519" else load_pem_private_key(demo_private_key().encode(), None)).public_key()
    made = token(signer, Secret(DEMO_KEY), NOW_S, URI)
    claims = jwt.decode(
        made,
        public,
        algorithms=[signer.algorithm],
        options={"verify_exp": False, "verify_nbf": False},
    )
    assert claims == {"sub": DEMO_KEY, "iss": "cdp", "nbf": NOW_S, "exp": NOW_S + 120, "uri": URI}
    header = jwt.get_unverified_header(made)
    assert (header["alg"], header["kid"], header["typ"]) == (signer.algorithm, DEMO_KEY, "JWT")
    assert header["nonce"] != jwt.get_unverified_header(token(signer, Secret(DEMO_KEY), NOW_S))["nonce"]


def test_a_token_for_a_subscription_is_for_no_address() -> None:
    signer = signer_of(Secret(demo_private_key()))
    claims = token(signer, Secret(DEMO_KEY), NOW_S).split(".")[1]
    assert "uri" not in json.loads(base64.urlsafe_b64decode(claims + "=="))


@pytest.mark.parametrize(
    "wrong", ["", "no base64!", "c2hvcnQ=", "-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----"]
)
def test_what_can_be_no_private_key_is_refused_without_its_text(wrong: str) -> None:
    with pytest.raises(ValueError, match="api_secret of coinbase") as refused:
        signer_of(Secret(wrong))
    assert not wrong or wrong not in str(refused.value)


def test_no_text_of_a_signer_has_its_key() -> None:
    assert repr(signer_of(Secret(demo_private_key()))) == "Signer(ES256)"
    assert repr(Signer("EdDSA", bytes)) == "Signer(EdDSA)"
