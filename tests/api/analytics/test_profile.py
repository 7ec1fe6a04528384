from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.analytics.profile import Collecting, Step, VolumeByPrice, VolumeProfile, profile_of, value_area_of
from flows.model import Trade
from tests.fakes.examples import examples
from tests.fakes.recordings import pepe_trades
from tests.fakes.trade_frames import trade_frame
from tests.fakes.trades import BEGIN, cut, trade, trade_runs


def exact(value: float) -> Fraction:
    return Fraction(repr(value))


def recount(trades: list[Trade], profile: VolumeProfile) -> None:
    """The profile again, trade by trade, in exact arithmetic."""
    tick, lowest = exact(profile.tick), exact(profile.rows[0].low)
    width = tick * profile.row_ticks
    bought, sold = [Fraction(0)] * len(profile.rows), [Fraction(0)] * len(profile.rows)
    count = [0] * len(profile.rows)
    for one in trades:
        index = int((exact(one.price) - lowest) / width)
        (sold if one.buyer_is_maker else bought)[index] += exact(one.quantity)
        count[index] += 1
    total = [buys + sells for buys, sells in zip(bought, sold, strict=True)]
    for index, row in enumerate(profile.rows):
        assert exact(row.low) == lowest + index * width
        assert exact(row.high) == lowest + (index + 1) * width - tick
        assert (row.buy_volume, row.sell_volume) == (float(bought[index]), float(sold[index]))
        assert (row.volume, row.trades) == (float(total[index]), count[index])
    assert sum((exact(row.volume) for row in profile.rows), Fraction(0)) == exact(profile.volume) == sum(total)
    assert (profile.buy_volume, profile.sell_volume) == (float(sum(bought)), float(sum(sold)))
    assert profile.trades == len(trades) == sum(count)
    poc, low, high = brute_value_area(total, exact(profile.value_area), profile.step)
    assert profile.poc == pytest.approx(float(lowest + poc * width + (width - tick) / 2), rel=1e-15)
    assert (profile.val, profile.vah) == (profile.rows[low].low, profile.rows[high].high)


def brute_value_area(volumes: list[Fraction], share: Fraction, step: Step) -> tuple[int, int, int]:
    most = max(volumes)
    middle = Fraction(len(volumes) - 1, 2)
    poc = min((row for row in range(len(volumes)) if volumes[row] == most), key=lambda row: (abs(row - middle), row))
    rows = {poc}
    while sum(volumes[row] for row in rows) < share * sum(volumes):
        above = {row for row in range(max(rows) + 1, max(rows) + 1 + step) if row < len(volumes)}
        below = {row for row in range(min(rows) - step, min(rows)) if row >= 0}
        up, down = sum(volumes[row] for row in above), sum(volumes[row] for row in below)
        rows |= above if above and (up >= down or not below) else below
    return poc, min(rows), max(rows)


@settings(deadline=None)
@given(
    trade_runs(max_size=40),
    st.integers(1, 300),
    st.floats(0, 1).map(lambda share: round(share, 4)),
    st.sampled_from([1, 2]),
)
def test_equals_a_recount_trade_by_trade(trades: list[Trade], bins: int, share: float, step: Step) -> None:
    profile = profile_of(trade_frame(trades), bins=bins, value_area=share, step=step)

    assert len(profile.rows) <= bins
    recount(trades, profile)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("bins", [7, 100])
def test_equals_a_recount_of_a_whole_day(bins: int, step: Step) -> None:
    trades = pepe_trades()

    recount(trades, profile_of(trade_frame(trades), bins=bins, step=step))


@settings(max_examples=examples(20), deadline=None)
@given(trade_runs(max_size=40).flatmap(lambda trades: st.tuples(st.just(trades), cut(trades))))
def test_parts_added_one_by_one_make_the_profile_of_the_whole(parts: tuple[list[Trade], list[list[Trade]]]) -> None:
    trades, batches = parts
    counted = VolumeByPrice()
    for batch in batches:
        counted.add(trade_frame(batch))

    assert counted.profile() == profile_of(trade_frame(trades))
    assert (counted.first_time, counted.last_time) == (trades[0].time, trades[-1].time)


def test_prices_far_apart_are_counted_all_the_same() -> None:
    trades = [trade(1, 0, 0.00000001, 1.0), trade(2, 1, 90_000.0, 2.0), trade(3, 2, 90_000.0, 3.0, sold=True)]

    profile = profile_of(trade_frame(trades), bins=3)

    recount(trades, profile)
    assert [row.volume for row in profile.rows] == [1.0, 0.0, 5.0]


def test_rows_of_a_tick_begin_at_its_multiples() -> None:
    trades = [trade(1, 0, 100.3, 1.0), trade(2, 1, 100.9, 2.0, sold=True), trade(3, 2, 102.0, 4.0)]

    profile = profile_of(trade_frame(trades), tick=0.5)

    assert [(row.low, row.high, row.volume) for row in profile.rows] == [
        (100.0, 100.4, 1.0),
        (100.5, 100.9, 2.0),
        (101.0, 101.4, 0.0),
        (101.5, 101.9, 0.0),
        (102.0, 102.4, 4.0),
    ]
    recount(trades, profile)


def test_a_tick_finer_than_the_prices() -> None:
    profile = profile_of(trade_frame([trade(1, 0, 100.0), trade(2, 1, 101.0)]), tick=0.25)

    assert [row.low for row in profile.rows] == [100.0, 100.25, 100.5, 100.75, 101.0]


@pytest.mark.parametrize(("tick", "reason"), [(0.0, "above zero"), (-1.0, "above zero"), (0.001, "take a larger tick")])
def test_a_tick_that_cannot_be_is_refused(tick: float, reason: str) -> None:
    frame = trade_frame([trade(1, 0, 100.0), trade(2, 1, 200.0)])

    with pytest.raises(ValueError, match=reason):
        profile_of(frame, tick=tick)


def test_no_trades_make_no_profile() -> None:
    with pytest.raises(ValueError, match="no trades"):
        profile_of(trade_frame([]))


@pytest.mark.parametrize(
    ("volumes", "step", "expected"),
    [
        ([1, 2, 9, 3, 1], 1, (2, 2, 3)),  # 9, and 3 from above
        ([1, 3, 9, 2, 1], 1, (2, 1, 2)),  # 9, and 3 from below
        ([9, 1, 6, 1, 9], 1, (0, 0, 4)),  # equal ones as near to the middle: the lower is the point of control
        ([5, 1, 9, 3, 0], 1, (2, 1, 3)),  # row by row the upper comes first
        ([5, 1, 9, 3, 0], 2, (2, 0, 2)),  # two rows below hold more than two above
        ([2, 9, 2], 1, (1, 1, 2)),  # the upper when equal
        ([7], 1, (0, 0, 0)),
    ],
)
def test_the_value_area_grows_from_the_point_of_control(
    volumes: list[float], step: Step, expected: tuple[int, int, int]
) -> None:
    assert value_area_of(volumes, 0.7, step) == expected


@pytest.mark.parametrize(("step", "expected"), [(2, (3, 1, 5)), (1, (3, 2, 4))])
def test_both_rules_worked_by_hand(step: Step, expected: tuple[int, int, int]) -> None:
    """70 % of 56 are 39.2, and the point of control has 20. By twos: above 9 + 4, below 12 + 6, so the lower two make
    38; above 9 + 4, below the last 3, so the upper two make 51. One by one: 12 from below make 32, 9 from above 41.
    """
    assert value_area_of([3, 6, 12, 20, 9, 4, 2], 0.7, step) == expected


def test_the_value_area_is_that_of_tradingview_by_default() -> None:
    volumes = [3.0, 6.0, 12.0, 20.0, 9.0, 4.0, 2.0]
    profile = profile_of(trade_frame([trade(row, row, 100.0 + row, volume) for row, volume in enumerate(volumes)]))

    assert (profile.step, profile.poc, profile.val, profile.vah) == (2, 103.0, 101.0, 105.0)


def test_too_few_trades_state_how_long_it_takes() -> None:
    counted = VolumeByPrice()
    assert counted.collecting(10) == Collecting(0, 10, 0.0, None)
    counted.add(trade_frame([trade(number, number * 500) for number in range(5)]))

    assert counted.collecting(10) == Collecting(5, 10, 2.5, 2.0)
    assert counted.collecting(5) is None
    assert counted.first_time == BEGIN
