"""Where a shard that is taken over begins, and what a builder of candles makes of it."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from flows.model import Candle, Trade, TradeBatch, WholeFrom
from flows.operators.candles.builder import CandleBuilder
from flows.queries import Continued
from flows.runtime.takeover import MARGIN_MS, begin_of, begin_without_candles, read_back_since
from flows.settings import Feed, Settings
from tests.fakes.candles import candle
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, at, trade_runs

MINUTE = 60_000
FRAMES = ("1m", "5m", "15m")


def row(number: int, last: int, minute: float) -> tuple[int, int, int]:
    return number, last, BEGIN + int(minute * MINUTE)


ROWS = [row(1, 1_005, 0.5), row(2, 1_041, 0.9), row(3, 1_080, 1.9), row(4, 1_099, 2.2)]


def closed(minute: int, last_id: int, status: str = "final", trades: int = 3) -> Candle:
    return candle(minute, last_id=last_id, status=status, trades=trades)


def test_it_begins_behind_the_candle_before_the_newest_closed_one() -> None:
    stored = [closed(0, 1_041), closed(1, 1_080)]
    begin = Continued(2, ROWS[1][2], BEGIN + MINUTE, BEGIN + 2 * MINUTE)
    assert begin_of(ROWS, stored) == begin
    assert begin_of([ROWS[2], ROWS[0], ROWS[3], ROWS[1]], stored) == begin
    assert begin_of(ROWS, [*stored, closed(2, 2_000)]) == begin  # its last trade was never published


def test_of_one_candle_it_is_that_one_and_of_none_the_first_trade_that_was_read() -> None:
    assert begin_of(ROWS, [closed(1, 1_080)]) == Continued(3, ROWS[2][2], BEGIN + 2 * MINUTE, BEGIN + 2 * MINUTE)
    for stored in ([], [closed(1, 1_080, "partial")], [closed(1, 1_080, "unproven")], [closed(1, 1_080, trades=0)]):
        assert begin_of(ROWS, stored) == (0, ROWS[0][2])


def test_while_candles_cannot_be_read_it_begins_with_the_first_whole_period() -> None:
    begin = Continued(2, ROWS[1][2], BEGIN + MINUTE, BEGIN + MINUTE)
    assert begin_without_candles(ROWS, MINUTE) == begin
    assert begin_without_candles([ROWS[2], ROWS[0], ROWS[3], ROWS[1]], MINUTE) == begin
    assert begin_without_candles(ROWS[:2], MINUTE) == (0, ROWS[0][2])  # none is known to be whole


def test_the_stream_is_read_back_from_two_periods_before_the_owner_was_seen_at_of_last() -> None:
    settings = Settings(feed=Feed(timeframes=("5m", "15m")))
    assert read_back_since(settings, 10_000_000) == 10_000_000 - 2 * 300_000 - MARGIN_MS
    assert read_back_since(settings, 1_000) == 1
    assert read_back_since(settings, 0) == 0


def built(builder: CandleBuilder, trades: list[Trade]) -> list[Candle]:
    """The closed candles of trades, one batch each."""
    found: list[Candle] = []
    for one in trades:
        batch = TradeBatch("binance", "BTCUSDT", [one], begin=one.time, end=one.time)
        out = builder.on_events(batch, at(one.time - BEGIN))
        found += [item for item in out if isinstance(item, Candle) and item.is_closed]
    return found


def new_builder() -> CandleBuilder:
    return CandleBuilder("binance BTCUSDT", timeframes=FRAMES, close_grace_ms=2_000, forming_ms=100)


@given(trade_runs(max_size=examples(80)), st.integers(0, 79))
def test_one_that_begins_at_a_stored_candle_makes_the_same_as_one_that_has_seen_all(
    trades: list[Trade], place: int
) -> None:
    whole = built(new_builder(), trades)
    minutes = [one for one in whole if one.timeframe == "1m" and one.status == "final" and one.trades]
    if not minutes:
        return
    last = minutes[place % len(minutes)]
    end = last.close_time + 1
    rest = [one for one in trades if one.first_id > last.last_id]
    before = tuple(one for one in whole if one.close_time < end)
    other = new_builder()
    assert other.on_events(WholeFrom(end, end, before), at(0)) == []
    found = built(other, rest)

    def known(candles: list[Candle]) -> dict[tuple[str, int], Candle]:
        return {(one.timeframe, one.open_time): msgspec.structs.replace(one, event_time=0) for one in candles}

    # what began before all trades is known to neither; empty minutes right behind the candle have no begin here
    first = rest[0].time - rest[0].time % MINUTE if rest else end
    expected = {key: one for key, one in known(whole).items() if one.close_time >= first and one.status == "final"}
    assert {key: one for key, one in known(found).items() if one.status == "final"} == expected
