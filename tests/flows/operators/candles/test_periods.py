from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from flows.operators.candles.periods import Timeframe, by_period
from tests.fakes.trades import trade

MINUTE = 60_000


@given(st.lists(st.integers(0, 5 * MINUTE), min_size=1, max_size=30), st.booleans())
def test_trades_are_cut_where_a_period_ends_whatever_their_times(times: list[int], rise: bool) -> None:
    trades = [trade(number, time) for number, time in enumerate(sorted(times) if rise else times, start=1)]
    frame = Timeframe("1m")
    cut = list(by_period(trades, frame))
    assert list(chain.from_iterable(group for _, group in cut)) == trades
    assert all(frame.floor(one.time) == open_time for open_time, group in cut for one in group)
    begins = [open_time for open_time, _ in cut]
    assert all(begin != following for begin, following in pairwise(begins))
