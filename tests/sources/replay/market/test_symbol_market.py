from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.market.aggregate import TRADE, aggregates_of, pieces_of, roll_up
from sources.replay.market.book import DepthSnapshot
from sources.replay.market.decimals import decimals_of
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.history import History
from sources.replay.market.klines import Kline, RunningTotals, klines_of
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment, Written

PRINTER = PayloadEncoder("spot", "XUSDT", decimals_of("spot", price=0, quantity=0))


def frame(first_id: int, trades: list[tuple[int, int, int]]) -> pl.DataFrame:
    rows = [(first_id + i, t, t, t, i, p, q, q % 2 == 0) for i, (t, p, q) in enumerate(trades)]
    return pl.DataFrame(rows, schema=TRADE, orient="row")


def segment(trades: pl.DataFrame) -> SymbolSegment:
    channel = ChannelTimeline(
        ["xusdt@trade"], Written(trades, PRINTER.trades), due=trades["due"], place=trades["place"]
    )
    aggregates = aggregates_of(trades)
    return SymbolSegment(
        symbol="XUSDT",
        trades=trades,
        aggregates=aggregates,
        trade_channel=channel,
        aggregate_channel=ChannelTimeline(["xusdt@aggTrade"], [], due=aggregates["due"], place=aggregates["place"]),
        totals=RunningTotals(trades),
        totals_channel=channel,
    )


market_steps = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(1, 50), st.integers(1, 9)), min_size=1, max_size=30
)


@given(market_steps, st.integers(1, 5))
def test_klines_do_not_care_how_a_market_is_cut_into_strips(steps: list[tuple[int, int, int]], cut: int) -> None:
    """However the trades are dealt out, REST and stream klines are those of all of them."""
    time, trades = 0, []
    for step, price, quantity in steps:
        time += step
        trades.append((time, price, quantity))
    whole = frame(1, trades)
    expected = {kline.open_time: kline for kline in klines_of(roll_up(pieces_of(whole), "1m"))}
    market, done = SymbolMarket(PRINTER, History()), 0
    while done < whole.height:
        part = segment(whole.slice(done, cut))
        market.begin(part)
        part.trade_channel.played = part.trades.height
        done += cut
    rows = market.klines("1m", now_ms=time, start_ms=None, end_ms=None, limit=1_000)
    assert {row.open_time: row for row in rows if row.trades} == expected
    assert [row.open_time for row in rows] == list(range(min(expected), max(expected) + 1, 60_000))
    for before, row in pairwise(rows):
        assert row.trades or row == Kline.flat(row.open_time, before.close)
    for row in rows:
        assert market.kline("1m", row.open_time) == row
    assert market.trade_count == whole.height
    statistics = market.statistics(time)
    assert statistics is not None
    assert (statistics.window.volume, statistics.window.high) == (
        sum(q for *_, q in trades),
        max(p for _, p, _ in trades),
    )


def test_nothing_is_known_before_it_was_played() -> None:
    market = SymbolMarket(PRINTER)
    part = segment(frame(1, [(1_000, 5, 1), (2_000, 6, 2)]))
    market.begin(part)
    assert market.kline("1m", 0) is None
    assert market.statistics(5_000) is None
    assert market.trade_rows(from_id=None, limit=5) == []
    assert not market.is_settled("1m", 0)
    part.trade_channel.played = 1
    kline = market.kline("1m", 0)
    assert kline is not None
    assert (kline.close, kline.trades) == (5, 1)
    part.trade_channel.played = 2
    assert market.is_settled("1m", 0)


def test_the_window_is_a_day() -> None:
    market = SymbolMarket(PRINTER)
    day = 86_400_000
    part = segment(frame(1, [(1_000, 9, 1), (2_000, 6, 2), (day, 7, 4)]))
    market.begin(part)
    part.trade_channel.played = 3
    statistics = market.statistics(day + 1_500)
    assert statistics is not None
    assert (statistics.window.open, statistics.window.high, statistics.window.volume) == (6, 7, 6)
    assert statistics.previous_close == 9
    quiet = market.statistics(3 * day)
    assert quiet is not None
    assert (quiet.window.close, quiet.window.volume) == (7, 0)


def test_a_recorded_snapshot_is_brought_forward_by_the_diffs_that_were_recorded_before_it() -> None:
    """An answer is written down later than it was made."""
    begin = 1_700_000_000_000
    diffs = [
        b'{"e":"depthUpdate","E":1,"s":"XUSDT","U":1,"u":4,"b":[["9","1"]],"a":[]}',
        b'{"e":"depthUpdate","E":2,"s":"XUSDT","U":5,"u":8,"b":[["8","0"]],"a":[["11","2"]]}',
    ]
    part = segment(frame(1, [(begin, 10, 1)]))
    times, places = pl.Series([begin, begin]), pl.Series([1, 2])
    part.depth_channel = ChannelTimeline(["xusdt@depth"], diffs, due=times, place=places)
    part.snapshots = {2: DepthSnapshot(6, [("8", "5"), ("7", "1")], [("12", "1")])}
    market = SymbolMarket(PRINTER)
    market.begin(part)
    part.depth_channel.played = 2
    book = market.book()
    assert book is not None
    assert (book.last_id, book.bids(5), book.asks(5)) == (8, [("7", "1")], [("11", "2"), ("12", "1")])
