from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.replay.accounts.spot import Balance, SpotAccount, SpotTrade
from tests.fakes.examples import examples

D = Decimal
ASSETS = ("BTC", "USDT", "BNB")
AMOUNT = st.decimals(min_value=D("0.00000001"), max_value=D(5_000), places=8)
STEP = st.one_of(
    st.tuples(st.just("move"), st.sampled_from(ASSETS), st.booleans(), AMOUNT),
    st.tuples(st.just("lock"), st.sampled_from(ASSETS), st.booleans(), AMOUNT),
    st.tuples(st.just("fill"), st.sampled_from((*ASSETS, None)), st.booleans(), st.tuples(AMOUNT, AMOUNT, AMOUNT)),
)


def trade(
    account: SpotAccount,
    side: Literal["BUY", "SELL"],
    quantity: str,
    price: str,
    commission: str | None = None,
    asset: str | None = None,
) -> SpotTrade:
    return account.trade(
        "BTCUSDT",
        ("BTC", "USDT"),
        side,
        quantity=D(quantity),
        price=D(price),
        commission=None if commission is None else D(commission),
        commission_asset=asset,
        is_maker=False,
        at_ms=7,
    )


def test_a_trade_exchanges_two_assets_and_pays_from_what_is_received() -> None:
    account = SpotAccount({"USDT": D(1_000)})
    bought = trade(account, "BUY", "0.01", "93000.5")
    assert (bought.value, bought.commission, bought.commission_asset) == (D("930.005"), D("0.00001"), "BTC")
    assert account.balances == {"USDT": Balance(D("69.995")), "BTC": Balance(D("0.00999"))}
    sold = trade(account, "SELL", "0.005", "94000", "0.1", "USDT")
    assert account.balances == {"USDT": Balance(D("539.895")), "BTC": Balance(D("0.00499"))}
    assert (account.trades, account.updated_ms) == ((bought, sold), 7)


def test_a_commission_in_an_asset_of_its_own() -> None:
    account = SpotAccount({"USDT": D(100), "BNB": D(1)})
    trade(account, "BUY", "1", "100", "0.25", "BNB")
    assert account.balances == {"USDT": Balance(D(0)), "BNB": Balance(D("0.75")), "BTC": Balance(D(1))}


def test_what_is_not_there_cannot_be_used_and_nothing_is_changed() -> None:
    account = SpotAccount({"USDT": D(100)})
    account.lock("USDT", D(60), 1)
    with pytest.raises(ValueError, match="the account has 40 USDT, and 60 locked"):
        account.move("USDT", D(-41), 2)
    with pytest.raises(ValueError, match="the account has 0 BNB"):
        trade(account, "BUY", "1", "10", "1", "BNB")
    with pytest.raises(ValueError, match="the value must be above zero"):
        trade(account, "BUY", "0.00000001", "0.00000001")
    with pytest.raises(ValueError, match="at most"):
        account.move("USDT", D(10**15), 2)
    assert (account.balances, account.updated_ms, account.trades) == ({"USDT": Balance(D(40), D(60))}, 1, ())


@settings(max_examples=examples(25))
@given(st.lists(STEP, max_size=30))
def test_the_sum_of_all_changes_is_the_snapshot(steps: list[tuple[str, str, bool, object]]) -> None:
    account = SpotAccount(dict.fromkeys(ASSETS, D(2_000)))
    free, locked = dict.fromkeys(ASSETS, D(2_000)), dict.fromkeys(ASSETS, D(0))
    for number, (kind, asset, is_first, amounts) in enumerate(steps):
        sign = 1 if is_first else -1
        try:
            match kind, amounts:
                case "move", Decimal():
                    account.move(asset, sign * amounts, number)
                    free[asset] += sign * amounts
                case "lock", Decimal():
                    account.lock(asset, sign * amounts, number)
                    free[asset] -= sign * amounts
                    locked[asset] += sign * amounts
                case "fill", (Decimal() as quantity, Decimal() as price, Decimal() as commission):
                    side: Literal["BUY", "SELL"] = "BUY" if is_first else "SELL"
                    done = trade(account, side, str(quantity), str(price), str(commission) if asset else None, asset)
                    free["BTC"] += sign * done.quantity
                    free["USDT"] -= sign * done.value
                    free[done.commission_asset] -= done.commission
                    assert abs(done.value - quantity * price) < D("0.00000001")
        except ValueError:
            pass
        assert account.balances == {one: Balance(free[one], locked[one]) for one in ASSETS}
        assert all(min(balance) >= 0 for balance in account.balances.values())
