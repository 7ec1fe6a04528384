from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.accounts.keys import KeyRing, NewKey
from sources.replay.venues.kraken.accounts.keys import FORM, Callers, KrakenKeyError
from sources.replay.venues.kraken.accounts.margin import MarginBook
from sources.replay.venues.kraken.accounts.tokens import MOST_TOKENS, Tokens

KEY = "documentedKey".ljust(56, "0")
DOC_SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
DOC_PATH = "/0/private/AddOrder"
DOC_BODY = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
DOC_SIGNATURE = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
"""The example of docs.kraken.com, Spot REST Authentication."""

amounts = st.decimals(min_value="0.00000001", max_value="1000", places=8)
prices = st.decimals("0.01", "100000", places=2)
fills = st.lists(st.tuples(st.sampled_from(("BUY", "SELL")), amounts, prices), max_size=12)


@given(fills)
def test_what_positions_gain_is_what_they_are_worth_without_what_was_paid(
    fills: list[tuple[str, Decimal, Decimal]],
) -> None:
    book, held, paid, gained = MarginBook(), Decimal(0), Decimal(0), Decimal(0)
    for side, quantity, price in fills:
        value = quantity * price
        if value < Decimal("0.00000001"):
            continue
        gain, _ = book.fill("BTC/USD", side, quantity, price, 0)  # type: ignore[arg-type]
        sign = 1 if side == "BUY" else -1
        held, paid, gained = held + sign * quantity, paid + sign * value, gained + gain
    signed = sum(((row.left if row.side == "BUY" else -row.left) for row in book.rows), Decimal(0))
    assert signed == held
    assert len({row.side for row in book.rows}) <= 1
    # at any price what was gained and what is open are worth what was paid, but for amounts that were cut
    at = Decimal(100)
    worth = gained + sum((row.net(at) for row in book.rows), Decimal(0))
    assert abs(worth - (held * at - paid)) < Decimal("0.00001")


def test_the_documented_request_is_accepted_once_and_others_are_not() -> None:
    ring = KeyRing(FORM)
    ring.add(NewKey(api_key=KEY, secret=DOC_SECRET, account="second"))
    callers, headers = Callers(ring), {"API-Key": KEY, "API-Sign": DOC_SIGNATURE}

    def refused(path: str, headers: dict[str, str], body: bytes) -> str:
        with pytest.raises(KrakenKeyError) as found:
            callers.caller(path, headers, body)
        return str(found.value)

    assert refused(DOC_PATH, headers | {"API-Key": KEY[::-1]}, DOC_BODY) == "EAPI:Invalid key"
    assert refused("/0/private/Balance", headers, DOC_BODY) == "EAPI:Invalid signature"
    assert refused(DOC_PATH, headers | {"API-Sign": "no base64"}, DOC_BODY) == "EAPI:Invalid signature"
    assert refused(DOC_PATH, headers, DOC_BODY + b"0") == "EAPI:Invalid signature"
    assert refused(DOC_PATH, headers, b"nonce=x") == "EAPI:Invalid nonce"
    assert callers.caller(DOC_PATH, headers, DOC_BODY).account == "second"
    assert refused(DOC_PATH, headers, DOC_BODY) == "EAPI:Invalid nonce"


def test_a_token_ends_with_its_time_and_only_so_many_are_kept() -> None:
    tokens = Tokens()
    first = tokens.make("demo", 0)
    assert (tokens.account_of(first, 899_999), tokens.account_of(first, 900_000)) == ("demo", None)
    assert tokens.account_of(None, 0) is None
    for _ in range(MOST_TOKENS):
        tokens.make("demo", 0)
    assert tokens.account_of(first, 0) is None
