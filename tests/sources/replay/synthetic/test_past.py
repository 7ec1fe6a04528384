import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.replay.market.aggregate import pieces_of, roll_up
from sources.replay.market.market import PAUSE
from sources.replay.synthetic.history import synthetic_history
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.synthetic.past import CORNERS, FEW, LEAST, Fills, MadePast, Piece, fills_of
from sources.replay.synthetic.profiles import profile_of
from tests.fakes.examples import examples

BEGIN_MS = 1_767_225_600_000
MINUTE_MS = 60_000


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    trades = draw(st.integers(LEAST, 300))
    prices = sorted(draw(st.lists(st.integers(1, 10**7), min_size=4, max_size=4)))
    opened, closed = draw(st.permutations(prices[1:3]))
    high, low = (prices[3], prices[0]) if trades >= FEW else (prices[2], prices[1])
    volume = trades + 1 + draw(st.integers(0, 10**6))
    most = volume - (CORNERS + 1 if trades >= FEW else 2)
    bought = volume - 1 if trades == LEAST else draw(st.integers(1, most))
    first_id = draw(st.integers(1, 10**12))
    return Piece(BEGIN_MS, 60_000, first_id, trades, opened, high, low, closed, volume, bought)


def whole(piece: Piece) -> Fills:
    return fills_of(piece, np.arange(piece.trades))


@given(pieces())
@settings(max_examples=examples(200), deadline=None)
def test_the_trades_of_a_piece_make_it_again(piece: Piece) -> None:
    price, quantity, maker = whole(piece)
    assert (price[0], price.max(), price.min(), price[-1]) == (piece.open, piece.high, piece.low, piece.close)
    assert quantity.min() >= 1
    assert (quantity.sum(), quantity[~maker].sum()) == (piece.volume, piece.taker_volume)
    mean = piece.close if piece.trades < FEW else (piece.open + piece.high + piece.low + piece.close) // CORNERS
    assert (price * quantity)[~maker].sum() == mean * piece.taker_volume
    if piece.trades < FEW:
        total = piece.open + piece.close * (piece.volume - 1)
    else:
        total = mean * piece.volume + piece.open + piece.high + piece.low + piece.close - CORNERS * mean
    assert (price * quantity).sum() == total


@given(pieces(), st.data())
@settings(max_examples=examples(50), deadline=None)
def test_a_trade_is_the_same_with_whichever_others_it_is_made(piece: Piece, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, piece.trades - 1))
    end = data.draw(st.integers(begin + 1, piece.trades))
    part, all_of_it = fills_of(piece, np.arange(begin, end)), whole(piece)
    for one, other in zip(part, all_of_it, strict=True):
        assert (one == other[begin:end]).all()


def test_the_history_is_made_of_its_trades_and_of_no_others() -> None:
    for rate in (0.01, 2.0, 20.0):
        profile = profile_of("spot", "ETHUSDT")
        history = synthetic_history(profile, seed=3, begin_ms=BEGIN_MS, trades_per_s=rate)
        past = MadePast(lambda history=history: history, end_id=profile.first_trade_id, aggregate_end_id=10**9)  # type: ignore[misc]
        for base_ms, interval in ((1_000, "1s"), (60_000, "1m"), (3_600_000, "1h")):
            rows = history.filter(pl.col("base_ms") == base_ms).tail(20 if base_ms < 3_600_000 else 1)
            trades = past.trades(rows["first_id"][0], rows["last_id"][-1] + 1)
            assert trades["id"].to_list() == list(range(rows["first_id"][0], rows["last_id"][-1] + 1))
            assert roll_up(pieces_of(trades), interval).equals(rows.drop("base_ms"))


def test_ids_are_found_by_their_time_and_end_where_the_market_begins() -> None:
    profile = profile_of("spot", "ETHUSDT")
    history = synthetic_history(profile, seed=3, begin_ms=BEGIN_MS, trades_per_s=2.0)
    past = MadePast(lambda: history, end_id=profile.first_trade_id, aggregate_end_id=profile.first_aggregate_id)
    newest = past.aggregates(past.aggregate_end_id - 500, past.aggregate_end_id)
    assert newest["id"].to_list() == list(range(past.aggregate_end_id - 500, past.aggregate_end_id))
    assert newest["last_id"][-1] == past.end_id - 1
    for time_ms in {int(newest["time"][0]), int(newest["time"][250]) + 1, int(newest["time"][-1])}:
        assert past.aggregate_at(time_ms) == newest.filter(pl.col("time") >= time_ms)["id"][0]
    assert past.aggregate_at(BEGIN_MS) == past.aggregate_at(10**15) == past.aggregate_end_id
    assert past.aggregate_at(0) == past.aggregate_first_id >= 1
    assert past.first_id >= 1
    oldest = past.aggregates(-5, past.aggregate_first_id + 2)
    assert oldest["id"].to_list() == [past.aggregate_first_id, past.aggregate_first_id + 1]
    assert past.trades(past.end_id, past.end_id + 5).is_empty()


def test_rest_serves_the_past_and_the_present_without_a_hole() -> None:
    market = SyntheticMarket("spot", ["BTCUSDT"], seed=3, start_ms=BEGIN_MS, trades_per_s=5.0)
    until = BEGIN_MS + 20_000
    for message in market.play({PAUSE}.__contains__, lambda due_ms: due_ms < until):
        assert message.stream == PAUSE
        break
    found, start = [], BEGIN_MS - 2 * MINUTE_MS
    page = market.agg_trades("BTCUSDT", from_id=None, start_ms=start, end_ms=None, limit=300)
    while page:
        found += page
        page = market.agg_trades("BTCUSDT", from_id=found[-1]["a"] + 1, start_ms=None, end_ms=None, limit=300)
    assert [row["a"] for row in found] == list(range(found[0]["a"], found[0]["a"] + len(found)))
    assert [row["f"] for row in found[1:]] == [row["l"] + 1 for row in found[:-1]]
    assert found[0]["T"] >= start
    assert found[-1]["T"] > BEGIN_MS
    for open_ms, _, _, _, close, volume, close_ms, _, trades, taker, _, _ in market.klines(
        "BTCUSDT", "1m", start_ms=start, end_ms=BEGIN_MS - 1, limit=5
    ):
        rows = [row for row in found if open_ms <= row["T"] <= close_ms]
        assert sum(row["l"] - row["f"] + 1 for row in rows) == trades
        assert rows[-1]["p"] == close
        assert f"{sum(float(row['q']) for row in rows):.8f}" == volume
        assert f"{sum(float(row['q']) for row in rows if not row['m']):.8f}" == taker
    newest = market.agg_trades("BTCUSDT", from_id=None, start_ms=None, end_ms=None, limit=1_000)
    assert newest == found[-1_000:]
    assert len(newest) == 1_000
    before = market.agg_trades("BTCUSDT", from_id=None, start_ms=None, end_ms=BEGIN_MS - 1, limit=10)
    assert before == [row for row in found if row["T"] < BEGIN_MS][-10:]
    single = market.trades("BTCUSDT", from_id=None, limit=1_000)
    assert [row["id"] for row in single] == list(range(single[0]["id"], single[0]["id"] + 1_000))
    assert market.trades("BTCUSDT", from_id=single[0]["id"], limit=1_000) == single
    assert market.agg_trades("BTCUSDT", from_id=0, start_ms=None, end_ms=None, limit=3)[0]["a"] >= 1
    oldest = market.trades("BTCUSDT", from_id=0, limit=3)
    assert [row["id"] - oldest[0]["id"] for row in oldest] == [0, 1, 2]
