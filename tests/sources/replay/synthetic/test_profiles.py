import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.synthetic.profiles import following, profile_of


@pytest.mark.parametrize(
    ("symbol", "price"),
    [
        ("BTCUSDT", "60000.00000000"), ("ETHUSDT", "2600.00000000"), ("DOGEUSDT", "0.12000000"),
        ("PEPEUSDT", "0.00000850"), ("SHIBUSDT", "0.00001450"), ("1000SATSUSDT", "0.00030000"),
        ("币安人生USDT", "0.12000000"),
    ],
)  # fmt: skip
def test_known_symbols_begin_near_their_price(symbol: str, price: str) -> None:
    profile = profile_of("spot", symbol)
    assert profile.decimals.price_text(profile.ticks) == price


@pytest.mark.parametrize(
    ("symbol", "price"), [("BTCUSDT", "60000.00"), ("1000PEPEUSDT", "0.0085000"), ("DOGEUSDT", "0.120000")]
)
def test_contracts_print_as_many_decimals_as_the_exchange(symbol: str, price: str) -> None:
    profile = profile_of("usdm", symbol)
    assert profile.decimals.price_text(profile.ticks) == price


@given(st.text("ABCDEFGHIJ0123456789", min_size=1, max_size=8))
def test_any_name_is_a_market_and_always_the_same(name: str) -> None:
    profile = profile_of("spot", name + "USDT")
    assert profile == profile_of("spot", name + "USDT")
    assert 1_000 <= profile.ticks < 10_000_000
    assert profile.order_lots > 10
    assert max(profile.decimals.price, profile.decimals.quantity) <= 8


COINS = st.sampled_from(["BTC", "ETH", "SOL", "DOGE", "PEPE", "SHIB", "BONK", "FLOKI"])


@given(COINS, st.integers(2, 10), st.integers(0, 8))
def test_the_volume_of_a_month_stays_within_64_bits_on_every_venue(base: str, price: int, quantity: int) -> None:
    profile = following(f"{base}-USD", f"{base}USDT", price=price, quantity=quantity)
    assert profile.decimals.printed_quantity == quantity
    assert profile.decimals.quantity <= quantity
    orders_of_a_month = 31 * 86_400 * 20.0
    assert profile.order_lots * orders_of_a_month < 2**63
    assert profile.order_lots >= 1 or profile.decimals.quantity == quantity


def test_quantities_of_dear_coins_have_all_decimals() -> None:
    assert following("BTC-USD", "BTCUSDT", price=1, quantity=8).decimals.quantity == 8
