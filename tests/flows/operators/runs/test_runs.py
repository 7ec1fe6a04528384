"""Compiled and plain runs of trades give the same, whatever is in them."""

from fractions import Fraction
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.model import MARKET_FILL, Trade
from flows.model.exact_sums import fold
from flows.operators.candles.bucket import Sum, Totals
from flows.operators.runs import plain
from tests.fakes.candles import kline_of_ones
from tests.fakes.trades import BEGIN, trade, trade_runs

runs: Any = pytest.importorskip("flows.operators.runs._runs", reason="nothing is compiled here")

KLINE: Any = kline_of_ones()
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(-3, 70) | st.sampled_from((2**53, 2**62 - 1)),
        "time": st.integers(BEGIN - 10**6, BEGIN + 10**7),
        "price": st.sampled_from((0.0, -1.0, 5e-324, 1e300)),
        "quantity": st.sampled_from((0.0, 1e-300)),
        "fill": st.sampled_from((MARKET_FILL, "NA")),
        "symbol": st.sampled_from(("ETHUSDT", "币USDT")),
        "event_time": st.integers(0, 2**70),
    },
)


@st.composite
def odd_runs(draw: st.DrawFn) -> list[Any]:
    """Aggregates or single fills, of which some say something odd or are something else."""
    found: list[Any] = list(draw(trade_runs(max_size=12)))
    if draw(st.booleans()):
        found = [Trade(t.symbol, t.id, t.time, t.price, t.quantity, t.buyer_is_maker, t.event_time) for t in found]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(found) - 1))
        if isinstance(found[place], Trade):
            found[place] = structs.replace(found[place], **draw(CHANGES))
        if draw(st.integers(0, 9)) == 0:
            found[place] = draw(st.sampled_from((KLINE, trade(place, place))))
    return found


@given(odd_runs(), st.integers(0, 3), st.sampled_from((-1, 499, 500, 501)), st.booleans(), st.sampled_from((2, 10**4)))
def test_scans_say_the_same(found: list[Any], following: int, fill: int, follow: bool, most: int) -> None:
    kline_first = found[0] is KLINE
    if not kline_first:
        of_both = [scan(found, following, fill, follow, most) for scan in (plain.scan_aggregates, runs.scan_aggregates)]
        assert of_both[0] == of_both[1]
        assert plain.scan_fills(found, following, MARKET_FILL) == runs.scan_fills(found, following, MARKET_FILL)


@given(trade_runs(max_size=20))
def test_a_run_that_continues_is_found_in_both(found: list[Trade]) -> None:
    times = found[0].time, found[-1].time
    assert plain.scan_aggregates(found, 1, 500, True, 10) == runs.scan_aggregates(found, 1, 500, True, 10) == times
    fills = [trade(number, number) for number in range(1, 9)]
    assert plain.scan_fills(fills, 1, MARKET_FILL) == runs.scan_fills(fills, 1, MARKET_FILL) == (BEGIN + 1, BEGIN + 8)


VALUES = st.floats(5e-324, 1e18) | st.sampled_from((1.0, 2.0**53, 2.0**-80, 2.0**52 + 1, 1e-8))


@st.composite
def valued(draw: st.DrawFn) -> list[Trade]:
    """Trades whose sums need many digits."""
    number = draw(st.integers(1, 40))
    return [trade(n, n, draw(VALUES), draw(VALUES), sold=draw(st.booleans())) for n in range(1, number + 1)]


def exact(parts: list[float]) -> Fraction:
    return sum(map(Fraction, parts), Fraction(0))


@given(st.lists(valued(), min_size=1, max_size=5))
def test_sums_of_both_are_exact_and_the_same(batches: list[list[Trade]]) -> None:
    sums, others = [[Sum() for _ in range(4)] for _ in range(2)]
    trades: list[Trade] = []
    for batch in batches:
        assert plain.add_up(batch, *sums) == runs.add_up(batch, *others)
        trades += batch
    bought = [t for t in trades if not t.buyer_is_maker]
    expected = [
        exact([t.quantity for t in trades]), exact([t.price * t.quantity for t in trades]),
        exact([t.quantity for t in bought]), exact([t.price * t.quantity for t in bought]),
    ]  # fmt: skip
    assert [exact(parts) for parts in others] == [exact(parts) for parts in sums] == expected
    assert max(map(len, others)) < 48


@given(trade_runs())
def test_raw_trades_and_extremes_are_counted_alike(found: list[Trade]) -> None:
    high, low, count = runs.add_up(found, [], [], [], [])
    assert (high, low, count) == plain.add_up(found, [], [], [], [])
    assert count == sum(t.last_id - t.first_id + 1 for t in found)
    assert (high, low) == (max(t.price for t in found), min(t.price for t in found))


@pytest.mark.parametrize("value", [inf, nan, 1e308])
def test_what_is_not_finite_is_left_to_plain_python(value: float) -> None:
    one = trade(1, 1, value, 1e10)
    with pytest.raises(OverflowError):
        runs.add_up([one], [], [], [], [])
    with pytest.raises(OverflowError):
        runs.add_up([trade(1, 1)], [inf], [], [], [])
    totals = Totals(1.0)
    totals.volume.append(nan)
    totals.add([trade(1, 1)])
    assert (totals.trades, totals.high) == (1, 100.0)


@given(odd_runs())
def test_grouping_and_the_newest_time_are_the_same(found: list[Any]) -> None:
    trades = [one for one in found if isinstance(one, Trade)]
    assert list(runs.by_symbol(trades).items()) == list(plain.by_symbol(trades).items())
    assert runs.newest_event(trades) == plain.newest_event(trades)


def test_wrong_arguments_are_refused() -> None:
    for function, arguments in (
        (runs.by_symbol, ((trade(1, 1),),)),
        (runs.by_symbol, ([3],)),
        (runs.newest_event, ([object()],)),
        (runs.add_up, ([3], [], [], [], [])),
        (runs.add_up, ([trade(1, 1)], [], [], [])),
        (runs.add_up, ([trade(1, 1)], [], [], [], ())),
        (runs.add_up, ([trade(1, 1)], [], ["a"], [], [])),
        (runs.scan_fills, ([trade(1, 1)], "a", "b")),
    ):
        with pytest.raises((TypeError, AttributeError)):
            function(*arguments)
    assert runs.scan_aggregates([3, None], 1, 1, True, 1) is None


class Rude:
    """A trade that empties the list it is in while it is read."""

    def __init__(self, trades: list[Any]) -> None:
        self.id = self.first_id = self.time = 1
        self.quantity = 1.0
        self.buyer_is_maker = False
        self._trades = trades

    @property
    def last_id(self) -> int:
        self._trades.clear()
        return 1

    @property
    def price(self) -> float:
        self._trades.clear()
        return 1.0


def test_a_list_that_changes_while_it_is_read_does_no_harm() -> None:
    trades: list[Any] = []
    rude = Rude(trades)
    trades += [rude] * 5
    runs.scan_aggregates(trades, 1, 1, True, 9)
    trades += [rude] * 5
    assert runs.add_up(trades, [], [], [], [])[2] == 1


PARTS = st.lists(
    st.sampled_from((0.0, 0.5e-8, 1e-8, 2.5e-9, 0.1, 1e9, 1e300, -0.1, inf, nan)) | st.floats(0, 1e12) | st.floats(),
    max_size=5,
)


@given(PARTS, PARTS)
def test_sums_that_are_shown_are_the_same_in_both(first: list[float], second: list[float]) -> None:
    try:
        said = plain.shown_sum(first, second)
    except (OverflowError, ValueError) as error:
        with pytest.raises(type(error)):
            runs.shown_sum(plain.shown_sum, first, second)
    else:
        assert repr(runs.shown_sum(plain.shown_sum, first, second)) == repr(said)


@given(st.lists(st.integers(0, 10**16), max_size=6), st.lists(st.integers(0, 10**16), max_size=6))
def test_sums_of_printed_numbers_are_shown_without_plain_python(first: list[int], second: list[int]) -> None:
    def printed_parts(units: list[int]) -> list[float]:
        return fold([unit / 10**8 for unit in units])

    def never(_: list[float], __: list[float]) -> float:
        raise AssertionError("plain Python was called")

    total = sum(first) + sum(second)
    if 0 < total < 2**49:
        assert runs.shown_sum(never, printed_parts(first), printed_parts(second)) == round(total / 10**8, 8)
