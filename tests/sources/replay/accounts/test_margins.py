from decimal import Decimal
from typing import Literal

import pytest

from sources.replay.accounts.margins import asset_margins, liquidation_price, open_margins, total
from sources.replay.accounts.usdm import Place, UsdmAccount

D = Decimal
BTC, ETH = Place("BTCUSDT", "BOTH"), Place("ETHUSDT", "BOTH")


def account_with(*fills: tuple[Place, Literal["BUY", "SELL"], str, str], isolated: bool = False) -> UsdmAccount:
    account = UsdmAccount(lambda: {"BTCUSDT": "USDT", "ETHUSDT": "USDT"}, {"USDT": D(1_000)})
    account.set_isolated("BTCUSDT", is_isolated=isolated)
    for place, side, quantity, price in fills:
        account.fill(
            place,
            side,
            quantity=D(quantity),
            price=D(price),
            commission=D(0),
            commission_asset=None,
            is_maker=False,
            at_ms=5,
        )
    return account


def test_what_an_account_is_worth() -> None:
    account = account_with((BTC, "BUY", "0.1", "20000"), (ETH, "SELL", "1", "1500"))
    held = open_margins(account, {"BTCUSDT": D(21_000), "ETHUSDT": D(1_600)})
    assert [(one.value, one.unrealized, one.initial, one.maintenance) for one in held] == [
        (D(2_100), D(100), D(105), D("8.4")),
        (D(-1_600), D(-100), D(80), D("6.4")),
    ]
    usdt = asset_margins(account, "USDT", held)
    assert (usdt.wallet, usdt.unrealized, usdt.balance, usdt.initial) == (D(1_000), D(0), D(1_000), D(185))
    assert (usdt.available, usdt.withdrawable, usdt.updated_ms) == (D(815), D(815), 5)
    assert total([usdt, usdt]).wallet == D(2_000)
    assert total([]).available == 0


def test_of_gains_that_are_not_realized_nothing_is_taken_out() -> None:
    account = account_with((BTC, "BUY", "0.1", "20000"))
    usdt = asset_margins(account, "USDT", open_margins(account, {"BTCUSDT": D(30_000)}))
    assert (usdt.available, usdt.withdrawable) == (D(1_850), D(850))
    poor = asset_margins(account, "USDT", open_margins(account, {"BTCUSDT": D(5_000)}))
    assert (poor.balance, poor.available, poor.withdrawable) == (D(-500), D(0), D(0))


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_at_the_price_of_liquidation_the_margin_is_what_must_be_kept(
    side: Literal["BUY", "SELL"], isolated: bool
) -> None:
    account = account_with((BTC, side, "0.5", "20000"), (ETH, "BUY", "1", "1500"), isolated=isolated)
    marks = {"BTCUSDT": D(20_000), "ETHUSDT": D(1_490)}
    held = open_margins(account, marks)
    price = liquidation_price(account, held[0], held)
    assert (price < 20_000) == (side == "BUY")
    bitcoin, ether = open_margins(account, marks | {"BTCUSDT": price})
    if isolated:
        left = account.position(BTC).isolated + bitcoin.unrealized - bitcoin.maintenance
    else:
        left = account.cross_wallet("USDT") + bitcoin.unrealized + ether.unrealized
        left -= bitcoin.maintenance + ether.maintenance
    assert abs(left) < D("0.000001")


def test_a_position_that_cannot_be_liquidated_has_no_such_price() -> None:
    account = account_with((BTC, "BUY", "0.01", "20000"))
    held = open_margins(account, {"BTCUSDT": D(20_000)})
    assert liquidation_price(account, held[0], held) == 0
    flat = account_with((BTC, "BUY", "1", "100"), (BTC, "SELL", "1", "100"))
    assert open_margins(flat, {"BTCUSDT": D(1)}) == []
