import base64

import pytest

from flows.model.secret import Secret
from sources.kraken.account.signing import Nonces, decoded_secret, signature, signed

DOC_SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
DOC_BODY = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
DOC_SIGNATURE = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
"""The example of docs.kraken.com, Spot REST Authentication."""


def test_the_signature_is_that_of_the_documentation() -> None:
    secret = base64.b64decode(DOC_SECRET)
    assert signature("/0/private/AddOrder", 1_616_492_376_594, DOC_BODY, secret) == DOC_SIGNATURE


def test_a_request_has_its_parameters_in_the_body_after_the_nonce() -> None:
    body, headers = signed("/0/private/OpenPositions", {"docalcs": "true"}, 7, Secret("key"), Secret(DOC_SECRET))
    assert body == b"nonce=7&docalcs=true"
    assert headers["API-Key"] == "key"
    assert headers["API-Sign"] == signature("/0/private/OpenPositions", 7, body, base64.b64decode(DOC_SECRET))
    assert headers["API-Sign"] not in repr(headers)


def test_nonces_rise_whatever_the_clock_does() -> None:
    times = iter([5, 5, 3, 6])
    nonces = Nonces(lambda: next(times))
    assert [nonces.take() for _ in range(4)] == [5_000, 5_001, 5_002, 6_000]


@pytest.mark.parametrize("wrong", ["", "no base64!", base64.b64encode(b"short").decode()])
def test_what_can_be_no_private_key_is_refused_without_its_text(wrong: str) -> None:
    with pytest.raises(ValueError, match="api_secret of kraken") as refused:
        decoded_secret(Secret(wrong))
    assert not wrong or wrong not in str(refused.value)
