import polars as pl

from sources.replay.market.aggregate import AGGREGATE, TRADE
from sources.replay.market.klines import RunningTotals
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment, Timeline, Written


def channel(stream: str, due: list[int], place: list[int]) -> ChannelTimeline:
    payloads = [stream.encode()] * len(due)
    return ChannelTimeline(
        [stream], payloads, due=pl.Series(due, dtype=pl.Int64), place=pl.Series(place, dtype=pl.Int64)
    )


def segment(
    symbol: str, trades: ChannelTimeline, aggregates: ChannelTimeline, fills: list[int] | None = None
) -> SymbolSegment:
    empty = pl.DataFrame(schema=TRADE)
    return SymbolSegment(
        symbol=symbol,
        trades=empty,
        aggregates=pl.DataFrame(schema=AGGREGATE),
        trade_channel=trades,
        aggregate_channel=aggregates,
        totals=RunningTotals(empty),
        totals_channel=trades,
        fills=fills,
    )


def test_messages_leave_by_time_then_by_place() -> None:
    a = segment("A", channel("a@trade", [5, 5, 9], [0, 4, 6]), channel("a@aggTrade", [5, 9], [5, 7]))
    b = segment("B", channel("b@trade", [5, 7], [2, 0]), channel("b@aggTrade", [], []))
    timeline = Timeline([a, b])
    assert [(due, each.streams[0], index) for due, each, index in timeline] == [
        (5, "a@trade", 0),
        (5, "b@trade", 0),
        (5, "a@trade", 1),
        (5, "a@aggTrade", 0),
        (7, "b@trade", 1),
        (9, "a@trade", 2),
        (9, "a@aggTrade", 1),
    ]
    assert timeline.end_ms == 9
    assert Timeline([a], end_ms=60).end_ms == 60


def test_trades_that_are_derived_leave_with_their_aggregate() -> None:
    only = segment("A", channel("a@trade", [1, 1, 2], [0, 0, 0]), channel("a@aggTrade", [1, 2], [0, 1]), [2, 3])
    assert [each.streams[0] for _, each, _ in Timeline([only])] == ["a@aggTrade", "a@aggTrade"]
    assert (list(only.fills_of(0)), list(only.fills_of(1))) == ([0, 1], [2])
    assert only.trades_played == 0
    only.aggregate_channel.played = 1
    assert only.trades_played == 2


def test_rows_are_counted_by_what_has_been_played() -> None:
    some = segment("A", channel("a@trade", [1, 2, 3], [0, 0, 0]), channel("a@aggTrade", [], []))
    some.counted = pl.Series([1, 1, 2])
    assert some.rows == 0
    some.trade_channel.played = 2
    assert some.rows == 1


def test_what_nobody_wants_is_never_written() -> None:
    written: list[int] = []

    def write(rows: pl.DataFrame) -> list[bytes]:
        written.append(rows.height)
        return [str(number).encode() for number in rows["n"]]

    payloads = Written(pl.DataFrame({"n": range(10_000)}), write)
    assert written == []
    assert [payloads[index] for index in (5_000, 5_001, 9_999)] == [b"5000", b"5001", b"9999"]
    assert written == [4_096, 10_000 - 8_192]
