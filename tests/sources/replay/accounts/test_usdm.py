from collections import defaultdict
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.replay.accounts.usdm import Change, Place, UsdmAccount, UsdmTrade
from tests.fakes.examples import examples

D = Decimal
BTC, ETH = Place("BTCUSDT", "BOTH"), Place("ETHUSDC", "BOTH")
Step: TypeAlias = tuple[str, Place, bool, Decimal, Decimal]
CONTRACTS = {"BTCUSDT": "USDT", "ETHUSDC": "USDC"}
AMOUNT = st.decimals(min_value=D("0.01"), max_value=D(300), places=2)
STEP = st.tuples(
    st.sampled_from(("fill", "fill", "fill", "move", "funding", "margin", "isolated", "leverage", "clear")),
    st.sampled_from((BTC, ETH)),
    st.booleans(),
    AMOUNT,
    st.decimals(min_value=D("0.001"), max_value=D(3), places=3),
)


def account_of(**balances: int) -> UsdmAccount:
    return UsdmAccount(lambda: CONTRACTS, {asset: D(balance) for asset, balance in balances.items()})


def fill(
    account: UsdmAccount,
    side: Literal["BUY", "SELL"],
    quantity: str,
    price: str,
    place: Place = BTC,
    commission: str | None = "0",
    asset: str | None = None,
) -> tuple[UsdmTrade, Change]:
    return account.fill(
        place,
        side,
        quantity=D(quantity),
        price=D(price),
        commission=None if commission is None else D(commission),
        commission_asset=asset,
        is_maker=False,
        at_ms=9,
    )


def test_a_gain_and_the_commission_are_paid_to_the_wallet() -> None:
    account = account_of(USDT=1_000)
    trade, change = fill(account, "BUY", "0.01", "93000", commission=None)
    assert (trade.value, trade.commission, change) == (D(930), D("0.465"), Change("ORDER", "USDT", D(0), (BTC,)))
    assert account.wallet("USDT") == D("999.535")
    trade, _ = fill(account, "SELL", "0.01", "94000", commission="0.001", asset="USDT")
    assert (trade.realized, account.wallet("USDT")) == (D(10), D("1009.534"))
    account.move("BNB", D(1), "DEPOSIT", 0)
    fill(account, "SELL", "1", "100", commission="0.25", asset="BNB")
    assert (account.wallet("BNB"), account.wallet("USDT")) == (D("0.75"), D("1009.534"))
    assert [one.trade_id for one in account.trades] == [1, 2, 3]


def test_funding_is_paid_by_long_positions_and_received_by_short_ones() -> None:
    account = account_of(USDT=1_000)
    fill(account, "BUY", "0.5", "1000")
    change = account.pay_funding(BTC, D(1_200), D("0.0001"), 10)
    assert change == Change("FUNDING_FEE", "USDT", D("-0.06"))
    fill(account, "SELL", "1", "1000")
    account.pay_funding(BTC, D(1_200), D("0.0001"), 11)
    assert account.wallet("USDT") == D(1_000)


def test_an_isolated_position_has_its_margin_beside_the_wallet() -> None:
    account = account_of(USDT=1_000)
    assert account.set_isolated("BTCUSDT", is_isolated=True).reason == "MARGIN_TYPE_CHANGE"
    account.set_leverage("BTCUSDT", 10)
    fill(account, "BUY", "1", "2000")
    assert (account.position(BTC).isolated, account.wallet("USDT")) == (D(200), D(1_000))
    assert account.cross_wallet("USDT") == D(800)
    account.move_margin(BTC, D(50), 1)
    with pytest.raises(ValueError, match="the position has 250 of margin, and the wallet 750 besides"):
        account.move_margin(BTC, D(-251), 1)
    with pytest.raises(ValueError, match="the account has 750 USDT outside of isolated positions"):
        account.move("USDT", D(-800), "WITHDRAW", 1)
    with pytest.raises(ValueError, match="BTCUSDT has a position"):
        account.set_isolated("BTCUSDT", is_isolated=False)
    assert account.pay_funding(BTC, D(2_000), D("0.001"), 2).places == (BTC,)
    assert (account.position(BTC).isolated, account.wallet("USDT")) == (D(248), D(998))
    fill(account, "SELL", "0.5", "1900")
    assert (account.position(BTC).isolated, account.wallet("USDT")) == (D(124), D(948))
    fill(account, "SELL", "1", "1900")
    assert (account.position(BTC).amount, account.position(BTC).isolated) == (D("-0.5"), D(95))
    fill(account, "BUY", "0.5", "1900")
    assert (account.position(BTC).isolated, account.cross_wallet("USDT")) == (D(0), account.wallet("USDT"))
    with pytest.raises(ValueError, match="the position needs 2000000 USDT of margin"):
        fill(account, "BUY", "1000", "20000")


def test_both_sides_of_a_contract() -> None:
    account = account_of(USDT=1_000)
    with pytest.raises(ValueError, match="position_side is one of BOTH"):
        fill(account, "BUY", "1", "100", Place("BTCUSDT", "LONG"))
    account.set_sides(has_sides=True)
    long, short = account.places("BTCUSDT")
    fill(account, "BUY", "1", "100", long)
    fill(account, "SELL", "2", "100", short)
    assert (account.position(long).amount, account.position(short).amount) == (D(1), D(-2))
    with pytest.raises(ValueError, match="the position is -2, no more can be closed"):
        fill(account, "BUY", "3", "100", short)
    with pytest.raises(ValueError, match="the account has positions"):
        account.set_sides(has_sides=False)
    with pytest.raises(ValueError, match="no symbol NOSUCH"):
        fill(account, "BUY", "1", "100", Place("NOSUCH", "LONG"))


def test_what_a_wallet_owes_is_paid_once() -> None:
    account = account_of(USDT=10)
    fill(account, "BUY", "1", "100")
    fill(account, "SELL", "1", "60")
    assert account.wallet("USDT") == D(-30)
    assert account.clear_debt("USDT", 1) == Change("INSURANCE_CLEAR", "USDT", D(30))
    assert account.clear_debt("USDT", 1) is None
    assert account.wallet("USDT") == 0


def act(account: UsdmAccount, step: Step) -> tuple[UsdmTrade | None, Change | None]:
    kind, place, is_first, amount, quantity = step
    asset, sign = CONTRACTS[place.symbol], 1 if is_first else -1
    trade: UsdmTrade | None = None
    change: Change | None = None
    match kind:
        case "fill":
            side: Literal["BUY", "SELL"] = "BUY" if is_first else "SELL"
            trade, change = fill(
                account, side, str(quantity), str(amount), place, None, "BNB" if quantity > 2 else None
            )
        case "move":
            change = account.move(asset, sign * amount, "ASSET_TRANSFER", 1)
        case "funding":
            change = account.pay_funding(place, amount, sign * quantity / 1_000, 1)
        case "margin":
            change = account.move_margin(place, sign * amount, 1)
        case "isolated":
            change = account.set_isolated(place.symbol, is_isolated=is_first)
        case "clear":
            change = account.clear_debt(asset, 1)
        case _:
            account.set_leverage(place.symbol, int(quantity * 40) or 1)
    return trade, change


def snapshot(account: UsdmAccount) -> Any:
    return dict(account.wallets), dict(account.positions), account.trades


@settings(max_examples=examples(60))
@given(st.lists(STEP, max_size=40))
def test_wallets_and_positions_are_a_recount_of_every_step(
    steps: list[Step],
) -> None:
    account = account_of(USDT=500, USDC=500, BNB=5)
    wallets: dict[str, Decimal] = defaultdict(Decimal, USDT=D(500), USDC=D(500), BNB=D(5))
    amounts: dict[Place, Decimal] = defaultdict(Decimal)
    for step in steps:
        before = snapshot(account)
        try:
            trade, change = act(account, step)
        except ValueError:
            assert snapshot(account) == before
            continue
        if trade is not None:
            wallets[CONTRACTS[trade.place.symbol]] += trade.realized
            wallets[trade.commission_asset] -= trade.commission
            amounts[trade.place] += trade.quantity * (1 if trade.side == "BUY" else -1)
        if change is not None:
            wallets[change.asset] += change.by
        assert {asset: wallet.balance for asset, wallet in account.wallets.items()} == wallets
        assert {place: account.position(place).amount for place in amounts} == amounts
        for place, position in account.positions.items():
            assert position.isolated >= 0
            assert account.contract(place.symbol).is_isolated or not position.isolated
        kept = sum((position.isolated for position in account.positions.values()), D(0))
        cross = sum((account.cross_wallet(asset) for asset in account.wallets), D(0))
        assert cross + kept == sum(wallets.values(), D(0))


def test_a_contract_that_is_listed_later_is_traded_and_one_that_is_delisted_stays_known() -> None:
    listed: dict[str, str] = {}
    account = UsdmAccount(lambda: listed, {"USDT": D(100)})
    with pytest.raises(ValueError, match="no symbol BTCUSDT"):
        fill(account, "BUY", "1", "100")
    listed["BTCUSDT"] = "USDT"
    fill(account, "BUY", "1", "100")
    listed.clear()
    fill(account, "SELL", "1", "110")
    assert account.wallet("USDT") == D(110)
