import msgspec
import polars as pl
import pytest

from sources.replay.tape.recordings import Line
from sources.replay.tape.symbol_tape import tape_of_files, tape_of_lines
from sources.replay.tape.trade_files import TradeFile

MS = 1_000_000


def line(received_ms: int, channel: str, **data: object) -> Line:
    return Line(received_ms * MS, f"xusdt@{channel}", msgspec.json.encode(data))


def fill(received_ms: int, trade_id: int, event_ms: int, price: str = "1.50", **more: object) -> Line:
    return line(received_ms, "trade", t=trade_id, E=event_ms, T=event_ms, p=price, q="0.2500", m=False, **more)


def test_messages_leave_at_their_own_time_and_those_without_keep_their_distance() -> None:
    lines = [
        line(100, "bookTicker", u=1),
        fill(103, 1, 2_000),
        line(105, "bookTicker", u=2),
        line(190, "bookTicker", u=3),
        fill(110, 2, 2_050),
        fill(111, 3, 2_040),
    ]
    tape = tape_of_lines("spot", "XUSDT", list(enumerate(lines)))
    assert tape.channels["trade"].due.to_list() == [2_000, 2_050, 2_050]
    assert tape.channels["bookTicker"].due.to_list() == [1_997, 2_002, 2_050]
    assert tape.channels["bookTicker"].place.to_list() == [0, 2, 3]
    assert tape.trades["time"].to_list() == [2_000, 2_050, 2_040]


def test_a_trade_that_came_twice_is_counted_and_sent_once() -> None:
    def push(received_ms: int, number: int) -> Line:
        return line(received_ms, "aggTrade", a=number, f=number, l=number, E=5, T=5, p="1", q="10", m=True)

    lines = [fill(1, 1, 5), push(1, 1), fill(2, 2, 5), fill(3, 1, 5), fill(4, 3, 5), push(4, 2), push(5, 2)]
    tape = tape_of_lines("spot", "XUSDT", list(enumerate(lines)))
    assert (tape.trades["id"].to_list(), tape.aggregates["id"].to_list()) == ([1, 2, 3], [1, 2])
    assert (tape.channels["trade"].place.to_list(), tape.channels["aggTrade"].place.to_list()) == ([0, 2, 4], [1, 5])


def test_numbers_are_counted_in_the_finest_unit_seen() -> None:
    book = line(1, "snapshot", lastUpdateId=4, bids=[["1.375", "2"]], asks=[])
    tape = tape_of_lines("spot", "XUSDT", list(enumerate([book, fill(2, 1, 5)])))
    assert tape.decimals[:2] == (3, 2)
    assert tape.trades.select("price", "quantity").rows() == [(1_500, 25)]
    assert [(place, snapshot.last_id) for place, snapshot in tape.snapshots] == [(0, 4)]


def test_futures_count_market_fills_only() -> None:
    lines = [fill(1, 1, 5), fill(2, 2, 5, "9.00", X="ADL"), fill(3, 3, 5)]
    tape = tape_of_lines("usdm", "XUSDT", list(enumerate(lines)))
    assert tape.is_market.to_list() == [True, False, True]
    assert tape.trades["id"].to_list() == [1, 2, 3]
    assert tape.aggregates.select("first_id", "last_id", "quantity").rows() == [(1, 3, 50)]


def test_trades_are_derived_where_only_aggregates_were_recorded() -> None:
    push = line(1, "aggTrade", a=9, f=5, l=7, E=3, T=2, p="1", q="10", m=True)
    tape = tape_of_lines("spot", "XUSDT", [(0, push)])
    assert tape.trades.select("id", "quantity", "maker").rows() == [(5, 4, True), (6, 3, True), (7, 3, True)]
    assert not tape.from_trades


def test_files_of_two_kinds_cannot_be_one_tape() -> None:
    files = [TradeFile("XUSDT", aggregated, pl.DataFrame(), None) for aggregated in (True, False)]
    with pytest.raises(ValueError, match="XUSDT"):
        tape_of_files("spot", "XUSDT", files)


def test_the_diff_channel_is_not_the_partial_one() -> None:
    lines = [line(1, "depth20@100ms", lastUpdateId=1), line(1, "depth@100ms", E=1, U=1, u=2, b=[], a=[])]
    assert tape_of_lines("spot", "XUSDT", list(enumerate(lines))).depth_channel == "depth@100ms"
