import pickle
from collections.abc import Sequence
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.clock import Now
from flows.model import (
    AggregateTrade,
    Candle,
    Coverage,
    Disconnected,
    Gap,
    Incident,
    Kline,
    Silent,
    Speaking,
    Subscribed,
    Trade,
    TradeBatch,
    TradeWitness,
    TradingStatus,
    Watermark,
)
from flows.operators.candles.builder import CandleBuilder
from flows.operators.pipeline import Pipeline
from flows.operators.trades.sequence import Sequencer
from tests.fakes.candles import kline_of_ones, ticker_of_ones
from tests.fakes.recordings import official_klines, pepe_trades, recording
from tests.fakes.trades import BEGIN, at, cut, trade, trade_runs

MINUTE = 60_000
LATER = 10**9
GRACE = 2_000
"""A local time at which every pace allows everything."""


def builder(*timeframes: str, **options: Any) -> CandleBuilder:
    return CandleBuilder(
        "binance:BTCUSDT",
        timeframes=timeframes or ("1m", "5m"),
        close_grace_ms=2_000,
        **{"forming_ms": 100, **options},
    )


def batch(*trades: Trade, late: bool = False) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", list(trades), late=late)


def closed(out: Sequence[Any]) -> list[Candle]:
    return [item for item in out if isinstance(item, Candle) and item.is_closed]


def summary(candle: Candle) -> tuple[object, ...]:
    return (candle.timeframe, (candle.open_time - BEGIN) // MINUTE, candle.open, candle.high, candle.low, candle.close)


def kline(candle_time: int, last_id: int, *, price: float = 7.0, timeframe: str = "1m", trades: int = 1) -> Kline:
    return Kline(
        symbol="BTCUSDT", timeframe=timeframe, event_time=BEGIN + candle_time + MINUTE, open_time=BEGIN + candle_time,
        open=price, high=price, low=price, close=price, volume=5.0, quote_volume=35.0, trades=trades,
        taker_buy_volume=1.0, taker_buy_quote_volume=7.0, first_id=last_id - trades + 1, last_id=last_id,
        is_closed=True,
    )  # fmt: skip


# --- closing ---


def test_the_next_periods_first_trade_closes_and_the_longer_timeframes_with_it() -> None:
    machine = builder("1m", "3m")
    out = machine.on_events(batch(trade(1, 0, 10.0), trade(2, 30_000, 12.0)), at(30_000))
    assert closed(out) == []
    out = machine.on_events(batch(trade(3, 3 * MINUTE, 11.0)), at(3 * MINUTE))
    assert [summary(candle) for candle in closed(out)] == [
        ("1m", 0, 10.0, 12.0, 10.0, 12.0),
        ("1m", 1, 12.0, 12.0, 12.0, 12.0),
        ("1m", 2, 12.0, 12.0, 12.0, 12.0),
        ("3m", 0, 10.0, 12.0, 10.0, 12.0),
    ]
    flat = closed(out)[1]
    assert (flat.volume, flat.trades, flat.first_id, flat.last_id, flat.status) == (0.0, 0, -1, -1, "final")


def test_the_timer_closes_a_grace_after_the_end() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0, 10.0)), at(0))
    assert machine.due_in(at(59_000, LATER)) == 0  # the forming candle is wanted
    machine.on_timer(at(59_000, LATER))
    assert machine.due_in(at(59_000, LATER)) == 3_000
    assert closed(machine.on_timer(at(61_999, LATER))) == []
    assert [summary(candle) for candle in closed(machine.on_timer(at(62_000, LATER)))] == [
        ("1m", 0, 10.0, 10.0, 10.0, 10.0)
    ]


def test_the_timer_closes_nothing_until_a_line_that_was_down_has_brought_a_trade() -> None:
    machine = Pipeline[Any, Any](Sequencer("binance:BTCUSDT", reorder_ms=0), builder("1m"))
    machine.on_events([trade(1, 0, 10.0)], at(0))
    machine.on_events(Disconnected("market", ("BTCUSDT",), "cut"), at(1))
    assert closed(machine.on_timer(at(10 * MINUTE, LATER))) == []
    machine.on_events(Subscribed("market", ("BTCUSDT",), ()), at(10 * MINUTE))
    assert closed(machine.on_timer(at(10 * MINUTE, LATER))) == []  # who knows what was missed meanwhile
    out = machine.on_events([trade(2, 10 * MINUTE, 11.0)], at(10 * MINUTE, LATER))
    assert [candle.open_time for candle in closed(out)] == [BEGIN + minute * MINUTE for minute in range(10)]
    assert len(closed(machine.on_timer(at(11 * MINUTE + 2_000, 2 * LATER)))) == 1


def test_the_timer_closes_nothing_while_trades_are_held_back() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0, 10.0)), at(0))
    assert machine.on_events(Watermark(BEGIN), at(0)) == []
    assert closed(machine.on_timer(at(2 * MINUTE, LATER))) == []
    assert machine.due_in(at(2 * MINUTE, LATER)) is None
    machine.on_events(Watermark(None), at(2 * MINUTE, LATER))
    assert [candle.open_time for candle in closed(machine.on_timer(at(63_000, LATER)))] == [BEGIN]


def test_the_exchanges_closed_kline_closes_when_it_ends_with_our_last_trade() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(batch(trade(2, MINUTE, 5.0)), at(MINUTE))
    assert closed(machine.on_events([kline(MINUTE, last_id=3)], at(2 * MINUTE))) == []  # a trade is still to come
    out = machine.on_events(batch(trade(3, 2 * MINUTE - 1, 7.0)), at(2 * MINUTE))
    assert closed(out) == []
    out = machine.on_events([kline(MINUTE, last_id=3)], at(2 * MINUTE))
    assert [summary(candle) for candle in closed(out)] == [("1m", 1, 5.0, 7.0, 5.0, 7.0)]
    assert closed(out)[0].status == "final"


def test_a_kline_that_tells_no_ids_closes_nothing_before_its_trades_are_there() -> None:
    machine = builder("1m")
    machine.on_events(Coverage(("BTCUSDT",), BEGIN, BEGIN + MINUTE, "a day"), at(0))
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(Coverage(("BTCUSDT",), BEGIN, BEGIN + MINUTE, "a day", is_over=True), at(0))
    of_the_next_day = structs.replace(kline(MINUTE, last_id=2), first_id=-1, last_id=-1)
    assert closed(machine.on_events([of_the_next_day], at(MINUTE))) == []
    machine.on_events(batch(trade(2, MINUTE, 7.0)), at(MINUTE))
    out = machine.on_events(batch(trade(3, 2 * MINUTE, 8.0)), at(2 * MINUTE))
    assert [(summary(candle), candle.trades) for candle in closed(out)] == [(("1m", 1, 7.0, 7.0, 7.0, 7.0), 1)]


def test_the_end_of_input_closes_nothing() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    out = machine.on_end(at(10 * MINUTE))
    assert [isinstance(it, Candle) and (it.is_closed, it.timeframe) for it in out] == [(False, "1m")]


# --- what is not known ---


def test_the_first_period_is_partial() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(5, 30_000, 10.0)), at(30_000))
    assert closed(machine.on_events(batch(trade(6, MINUTE)), at(MINUTE)))[0].status == "partial"


def test_periods_between_the_two_sides_of_a_gap_are_not_invented() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(batch(trade(2, MINUTE)), at(MINUTE))
    machine.on_events(Gap("binance", "BTCUSDT", 3, 4, BEGIN + MINUTE, BEGIN + 5 * MINUTE), at(5 * MINUTE))
    out = machine.on_events(batch(trade(5, 5 * MINUTE)), at(5 * MINUTE))
    assert [(summary(candle)[1], candle.status) for candle in closed(out)] == [(1, "partial")]


def test_only_the_periods_at_the_hole_are_partial() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(batch(trade(2, MINUTE)), at(MINUTE))
    machine.on_events(Gap("binance", "BTCUSDT", 3, 3, BEGIN + MINUTE, BEGIN + MINUTE + 5), at(MINUTE + 300))
    after = batch(trade(4, MINUTE + 5), trade(5, 2 * MINUTE), trade(6, 4 * MINUTE), trade(7, 5 * MINUTE))
    out = machine.on_events(after, at(5 * MINUTE))
    assert [(summary(candle)[1], candle.status) for candle in closed(out)] == [
        (1, "partial"),
        (2, "final"),
        (3, "final"),
        (4, "final"),
    ]


def test_a_candle_that_a_gap_reaches_back_into_is_published_again_as_partial() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(batch(trade(2, MINUTE)), at(MINUTE))
    machine.on_timer(at(2 * MINUTE + 2_000, LATER))
    out = machine.on_events(Gap("binance", "BTCUSDT", 3, 3, BEGIN + MINUTE, BEGIN + 2 * MINUTE + 9), at(3 * MINUTE))
    assert [(summary(candle)[1], candle.status) for candle in closed(out)] == [(1, "partial")]


def test_late_trades_fill_the_gap_and_the_candle_is_published_repaired() -> None:
    machine = builder("1m", "5m")
    machine.on_events(batch(trade(1, 0, 10.0)), at(0))
    machine.on_events(batch(trade(2, MINUTE, 11.0)), at(MINUTE))
    machine.on_events(Gap("binance", "BTCUSDT", 3, 4, BEGIN + MINUTE, BEGIN + 2 * MINUTE), at(2 * MINUTE))
    machine.on_events(batch(trade(5, 2 * MINUTE, 12.0)), at(2 * MINUTE))
    first = machine.on_events(batch(trade(3, MINUTE + 1, 20.0), late=True), at(2 * MINUTE))
    assert [(c.status, c.high) for c in closed(first)] == [("partial", 20.0)]
    second = machine.on_events(batch(trade(4, MINUTE + 2, 9.0), late=True), at(2 * MINUTE))
    last = closed(second)[-1]
    assert (last.status, last.open, last.high, last.low, last.close, last.trades) == ("repaired", 11, 20, 9, 9, 3)


def test_a_trade_that_comes_after_its_period_was_closed_amends_it() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(batch(trade(2, MINUTE, 5.0)), at(MINUTE))
    machine.on_timer(at(2 * MINUTE + 2_000, LATER))
    out = machine.on_events(batch(trade(3, 2 * MINUTE - 1, 8.0)), at(2 * MINUTE + 2_001))
    [amended] = closed(out)
    assert (*summary(amended), amended.status) == ("1m", 1, 5.0, 8.0, 5.0, 8.0, "final")


def test_a_trade_for_a_candle_no_longer_held_is_an_incident() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(batch(trade(2, 60 * MINUTE)), at(60 * MINUTE))
    out = machine.on_events(batch(trade(3, MINUTE)), at(60 * MINUTE))
    assert [(item.kind, item.outcome) for item in out if isinstance(item, Incident)] == [("late", "not amended")]


@pytest.mark.parametrize("ended_by", ["kline", "time"])
def test_old_periods_are_forgotten_whatever_ends_them(ended_by: str) -> None:
    machine = builder("1m")
    for minute in range(100):
        begin = minute * MINUTE
        machine.on_events(batch(trade(minute + 1, begin)), at(begin))
        now = at(begin + MINUTE + GRACE, (minute + 1) * LATER)
        out = machine.on_events([kline(begin, minute + 1)], now) if ended_by == "kline" else machine.on_timer(now)
        assert [candle.open_time for candle in closed(out)] == [BEGIN + begin]
    [(_, held)] = machine.snapshot()[2].values()
    assert len(held) == 11, "ten minutes, and what ended then"


def test_fills_off_the_market_stay_out() -> None:
    machine = builder("1m")
    fund = Trade("BTCUSDT", 2, BEGIN + 1, 0.0, 0.0, buyer_is_maker=False, event_time=BEGIN + 1, fill="INSURANCE_FUND")
    machine.on_events(batch(trade(1, 0, 10.0), fund, trade(3, 2, 11.0)), at(2))
    [candle] = machine.on_timer(at(2, LATER))
    assert isinstance(candle, Candle)
    assert (candle.low, candle.high, candle.trades, candle.last_id) == (10.0, 11.0, 2, 3)


# --- a start in the middle of a period ---


def running(timeframe: str, last_id: int, *, open_at: int = 0, **values: Any) -> Kline:
    """The exchange's running kline, with three trades up to `last_id`."""
    fields = {"open": 5.0, "high": 9.0, "low": 4.0, "close": 6.0, "volume": 3.0, "quote_volume": 18.0} | values
    return Kline(
        symbol="BTCUSDT", timeframe=timeframe, event_time=BEGIN + open_at + 1, open_time=BEGIN + open_at, trades=3,
        taker_buy_volume=1.0, taker_buy_quote_volume=6.0, first_id=last_id - 2, last_id=last_id, is_closed=False,
        **fields,
    )  # fmt: skip


def seeding(*timeframes: str, state: Any = None) -> CandleBuilder:
    return CandleBuilder(
        "binance:BTCUSDT",
        timeframes=timeframes or ("1m", "5m"),
        close_grace_ms=2_000,
        forming_ms=0,
        seed_ms=5_000,
        state=state,
    )


def candles(out: list[Any]) -> list[Candle]:
    return [item for item in out if isinstance(item, Candle)]


def test_running_periods_are_the_exchanges_kline_and_the_trades_that_it_does_not_hold() -> None:
    machine = seeding()
    start = 2 * MINUTE + 30_000
    assert candles(machine.on_events(batch(trade(11, start, 7.0), trade(12, start, 8.0)), at(start))) == []
    # the kline of the minute holds trade 11, the one of the five minutes only what was before it
    out = candles(machine.on_events([running("1m", 11, open_at=2 * MINUTE), running("5m", 10)], at(start)))
    assert [(c.timeframe, c.open, c.close, c.volume, c.trades, c.first_id, c.last_id, c.status) for c in out] == [
        ("1m", 5.0, 8.0, 4.0, 4, 9, 12, "forming"),
        ("5m", 5.0, 8.0, 5.0, 5, 8, 12, "forming"),
    ]
    machine.on_events(batch(trade(13, start + 1, 20.0)), at(start + 1))
    minute, *_ = closed(machine.on_events(batch(trade(14, 3 * MINUTE, 8.5)), at(3 * MINUTE)))
    assert (minute.open, minute.high, minute.close, minute.trades, minute.status) == (5.0, 20.0, 20.0, 5, "final")
    five = closed(machine.on_events(batch(trade(15, 5 * MINUTE)), at(5 * MINUTE)))[-1]
    assert (five.timeframe, five.first_id, five.last_id, five.trades, five.high) == ("5m", 8, 14, 7, 20.0)
    assert five.status == "final"


def test_a_kline_that_is_ahead_of_the_trades_waits_for_them_and_one_that_is_too_old_is_of_no_use() -> None:
    machine = seeding("1m")
    machine.on_events(batch(trade(11, 30_000, 7.0)), at(30_000))
    assert candles(machine.on_events([running("1m", 8)], at(30_000))) == []
    assert candles(machine.on_events([running("1m", 13)], at(30_001))) == []
    assert candles(machine.on_events(batch(trade(12, 30_002, 7.0)), at(30_002))) == []
    [candle] = candles(machine.on_events(batch(trade(13, 30_003), trade(14, 30_003, 8.0)), at(30_003)))
    assert (candle.trades, candle.first_id, candle.last_id, candle.close) == (4, 11, 14, 8.0)


def test_without_a_kline_in_time_the_running_period_is_shown_as_partial() -> None:
    machine = seeding("1m")
    machine.on_events(batch(trade(11, 30_000, 7.0)), at(30_000))
    assert machine.due_in(at(30_000)) == 5_000
    assert [c.status for c in candles(machine.on_timer(at(30_000, 5_000)))] == ["partial"]


def test_a_gap_in_a_running_period_is_healed_by_the_exchanges_kline_and_late_trades_are_not_counted_twice() -> None:
    machine = seeding("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(Gap("binance", "BTCUSDT", 2, 3, BEGIN, BEGIN + 10), at(10))
    assert candles(machine.on_events(batch(trade(4, 10, 6.0)), at(10))) == []
    [healed] = candles(machine.on_events([running("1m", 4)], at(10)))
    assert (healed.trades, healed.status) == (3, "forming")
    late = machine.on_events(batch(trade(2, 5, 6.0), trade(3, 6, 6.0), late=True), at(11))
    assert {c.trades for c in candles(late)} == {3}


@given(st.data())
def test_a_refuted_minute_leaves_nothing_wrong_in_the_running_longer_candles(data: st.DataObject) -> None:
    """True trades of two minutes, of which one came with a wrong price or quantity, and the exchange's true klines."""
    first = [trade(number, 1_000 * number, 100.0 + number) for number in range(1, 11)]
    second = [trade(number, MINUTE + 1_000 * number, 100.0 + number) for number in range(11, 16)]
    at_fault = data.draw(st.integers(0, len(first) - 1))
    field, factor = data.draw(st.sampled_from([("price", 0.01), ("price", 3.0), ("quantity", 50.0)]))
    wrong = structs.replace(first[at_fault], **{field: getattr(first[at_fault], field) * factor})
    machine = seeding()
    machine.on_events(batch(*first[:at_fault], wrong, *first[at_fault + 1 :]), at(10_000))
    is_early = data.draw(st.booleans())  # the kline may come before our minute is closed, or after
    events: list[Any] = [[kline_of(first, "1m", BEGIN)], batch(second[0])]
    for event in events if is_early else reversed(events):
        out = machine.on_events(event, at(MINUTE + 1_000))
    assert [c for c in candles(out) if c.timeframe == "5m"] == []  # it waits for the exchange's
    known = first + second[: data.draw(st.integers(1, len(second)))]
    machine.on_events(batch(*second[1:]), at(MINUTE + 5_000))
    shown = candles(machine.on_events([structs.replace(kline_of(known, "5m", BEGIN), is_closed=False)], at(MINUTE)))
    [five] = [c for c in shown if c.timeframe == "5m"]
    true = kline_of(first + second, "5m", BEGIN)
    assert (five.status, five.prices, five.trades, five.last_id) == ("forming", true.prices, true.trades, true.last_id)
    assert five.volume == pytest.approx(true.volume)


def test_a_confirmed_minute_disturbs_no_longer_candle() -> None:
    machine = seeding()
    trades = [trade(number, 1_000 * number, 100.0 + number) for number in range(1, 11)]
    machine.on_events(batch(*trades), at(10_000))
    machine.on_events([running("5m", 0)], at(10_000))
    machine.on_timer(at(10_000, 5_000))
    machine.on_events(batch(trade(11, MINUTE + 1_000)), at(MINUTE + 1_000, 6_000))
    machine.on_events([kline_of(trades, "1m", BEGIN)], at(MINUTE + 1_000, 6_000))
    shown = candles(machine.on_events(batch(trade(12, MINUTE + 2_000)), at(MINUTE + 2_000, 7_000)))
    assert [c.timeframe for c in shown] == ["1m", "5m"]


@given(st.data())
def test_wherever_the_start_falls_the_candles_are_those_of_a_run_from_the_begin(data: st.DataObject) -> None:
    trades = data.draw(trade_runs(max_size=40))
    start = data.draw(st.integers(0, len(trades) - 1))
    end = at(trades[-1].time - BEGIN + 6 * MINUTE, LATER)
    whole = builder()
    expected = final(whole.on_events(batch(*trades), at(0)) + whole.on_timer(end))
    machine = seeding()
    out: list[Any] = []
    out += machine.on_events(batch(trades[start]), at(0))
    for timeframe, length in (("1m", MINUTE), ("5m", 5 * MINUTE)):
        open_time = trades[start].time // length * length
        known = [t for t in trades[: start + 1] if t.time >= open_time]
        told = known[: data.draw(st.integers(0, len(known)))]
        if told and told[-1].last_id >= trades[start].first_id - 1:
            out += machine.on_events([kline_of(told, timeframe, open_time)], at(0))
        else:
            out += machine.on_events([kline_of(known, timeframe, open_time)], at(0))
    if rest := trades[start + 1 :]:
        out += machine.on_events(batch(*rest), at(0))
    out += machine.on_timer(end)
    first = {tf: trades[start].time // length * length for tf, length in (("1m", MINUTE), ("5m", 5 * MINUTE))}
    seen = {key: values for key, values in expected.items() if key[1] >= first[key[0]]}
    assert {key: values[:-1] for key, values in final(out).items()} == {k: v[:-1] for k, v in seen.items()}
    assert {values[-1] for values in final(out).values()} <= {"final"}


def kline_of(trades: Sequence[Trade], timeframe: str, open_time: int) -> Kline:
    """What an exchange says of these trades."""
    prices = [t.price for t in trades]
    bought = [t for t in trades if not t.buyer_is_maker]
    return Kline(
        symbol="BTCUSDT", timeframe=timeframe, event_time=trades[-1].time, open_time=open_time,
        open=prices[0], high=max(prices), low=min(prices), close=prices[-1],
        volume=fsum(t.quantity for t in trades), quote_volume=fsum(t.quantity * t.price for t in trades),
        trades=sum(t.last_id - t.first_id + 1 for t in trades),
        taker_buy_volume=fsum(t.quantity for t in bought),
        taker_buy_quote_volume=fsum(t.quantity * t.price for t in bought),
        first_id=trades[0].first_id, last_id=trades[-1].last_id, is_closed=False,
    )  # fmt: skip


# --- forming ---


def test_forming_candles_keep_their_pace_and_show_every_timeframe() -> None:
    machine = builder("1m", "5m")
    out = machine.on_events(batch(trade(1, 0, 10.0)), at(0, 1_000))
    assert [(c.timeframe, c.is_closed) for c in out if isinstance(c, Candle)] == [("1m", False), ("5m", False)]
    assert machine.on_events(batch(trade(2, 1, 11.0)), at(1, 1_099)) == [batch(trade(2, 1, 11.0))]
    assert machine.due_in(at(1, 1_099)) == 1
    assert [isinstance(c, Candle) and c.close for c in machine.on_timer(at(1, 1_100))] == [11.0, 11.0]
    assert machine.on_timer(at(1, 1_300)) == []  # nothing new


def test_a_recovered_machine_closes_nothing_by_time_until_it_has_a_trade() -> None:
    machine = builder()
    machine.on_events(batch(trade(1, 0, 10.0)), at(0))
    again = builder(state=machine.snapshot())
    again.on_events(Subscribed("market", ("BTCUSDT",), ()), at(3 * MINUTE, LATER))
    assert closed(again.on_timer(at(3 * MINUTE, LATER))) == []
    again.on_events(batch(trade(2, 30_000, 10.0)), at(3 * MINUTE, LATER))
    again.on_events(Watermark(None), at(3 * MINUTE, LATER))
    out = closed(woken(again, 3 * MINUTE))
    assert [summary(candle)[:2] for candle in out] == [("1m", 0), ("1m", 1)]


def woken(machine: CandleBuilder, ms: int) -> list[Any]:
    """What a machine closes by time that nobody looked at for long: at the second look."""
    assert closed(machine.on_timer(at(ms, 2 * LATER))) == []
    return machine.on_timer(at(ms, 2 * LATER + 2_000))


def test_after_a_stall_of_the_process_nothing_closes_before_what_waits_was_read() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0, 10.0)), at(0))
    assert closed(machine.on_timer(at(70_000, 70_000))) == []
    [candle] = closed(machine.on_events(batch(trade(2, 59_000, 11.0), trade(3, 69_000, 12.0)), at(70_100, 70_100)))
    assert (candle.trades, candle.close, candle.revision) == (2, 11.0, 0)


# --- the pace of amendments ---


def amendable() -> CandleBuilder:
    """One whose minute 1 is closed, with one trade."""
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(batch(trade(2, MINUTE, 5.0)), at(MINUTE))
    machine.on_events(batch(trade(3, 2 * MINUTE)), at(2 * MINUTE))
    return machine


def amended_by(machine: CandleBuilder, number: int, local: int) -> list[tuple[int, int]]:
    """The amendments after one more late trade: minute and number of trades."""
    out = machine.on_events(batch(trade(number, 2 * MINUTE - 1, float(number))), at(2 * MINUTE, local))
    return amendments(out)


def amendments(out: Sequence[Any]) -> list[tuple[int, int]]:
    return [((one.open_time - BEGIN) // MINUTE, one.trades) for one in closed(out)]


def test_late_trades_in_a_run_amend_a_candle_at_the_pace_of_running_ones() -> None:
    machine = amendable()
    assert amended_by(machine, 4, 1_000) == [(1, 2)]
    assert amended_by(machine, 5, 1_040) == []
    assert amended_by(machine, 6, 1_090) == []
    assert machine.due_in(at(2 * MINUTE, 1_090)) == 10
    assert amendments(machine.on_timer(at(2 * MINUTE, 1_099))) == []
    assert amendments(machine.on_timer(at(2 * MINUTE, 1_100))) == [(1, 4)]
    assert amendments(machine.on_timer(at(2 * MINUTE, 1_300))) == [], "nothing new"
    assert amended_by(machine, 7, 1_301) == [(1, 5)], "a single one does not wait"


def test_an_amendment_that_waits_leaves_before_the_next_period_closes_and_at_the_end_of_input() -> None:
    machine = amendable()
    amended_by(machine, 4, 1_000)
    assert amended_by(machine, 5, 1_001) == []
    out = machine.on_events(batch(trade(6, 3 * MINUTE)), at(3 * MINUTE, 1_002))
    assert amendments(out) == [(1, 3), (2, 1)]
    amended_by(machine, 7, 1_003)
    assert amended_by(machine, 8, 1_004) == []
    assert amendments(machine.on_end(at(3 * MINUTE, 1_005))) == [(1, 5)]
    assert amendments(machine.on_end(at(3 * MINUTE, 1_006))) == []


def test_an_amendment_that_waits_is_recovered() -> None:
    machine = amendable()
    amended_by(machine, 4, 1_000)
    assert amended_by(machine, 5, 1_001) == []
    again = builder("1m", state=pickle.loads(pickle.dumps(machine.snapshot())))
    assert again.due_in(at(2 * MINUTE, 7)) == 0
    assert amendments(again.on_timer(at(2 * MINUTE, 7))) == [(1, 3)]
    other = builder("5m", state=machine.snapshot())
    assert amendments(other.on_timer(at(2 * MINUTE, 7))) == [], "a timeframe that is no longer built"


def test_a_gap_and_its_repair_do_not_wait_and_take_what_waits_with_them() -> None:
    machine = amendable()
    amended_by(machine, 6, 1_000)
    assert amended_by(machine, 7, 1_001) == []
    gap = Gap("binance", "BTCUSDT", 4, 5, BEGIN + MINUTE, BEGIN + 2 * MINUTE - 1)
    [marked] = closed(machine.on_events(gap, at(2 * MINUTE, 1_002)))
    assert (marked.trades, marked.status) == (3, "partial")
    missing = batch(trade(4, MINUTE + 1), trade(5, MINUTE + 2), late=True)
    [repaired] = closed(machine.on_events(missing, at(2 * MINUTE, 1_003)))
    assert (repaired.trades, repaired.status) == (5, "repaired")
    assert amendments(machine.on_timer(at(2 * MINUTE, 1_200))) == []


# --- laws ---


@given(st.data())
def test_the_pace_of_amendments_loses_nothing(data: st.DataObject) -> None:
    """Trades whose times are too early by some seconds, as they come, and without a pace."""
    trades = data.draw(trade_runs(max_step_ms=5_000))
    early = [structs.replace(one, time=max(BEGIN, one.time - data.draw(st.integers(0, 9_000)))) for one in trades]
    paced, unpaced = builder("1m", "5m"), builder("1m", "5m", forming_ms=0)
    found: list[Any] = []
    expected: list[Any] = []
    local = 0
    for one in early:
        local += data.draw(st.integers(0, 80))
        now = Now(one.event_time, local)
        out = [*paced.on_timer(now), *paced.on_events(batch(one), now)]
        expected += [*unpaced.on_timer(now), *unpaced.on_events(batch(one), now)]
        if data.draw(st.integers(0, 9)) == 0:
            out += paced.on_timer(now)
            paced = builder("1m", "5m", state=pickle.loads(pickle.dumps(paced.snapshot())))
            paced.on_events(Watermark(None), now)
        found += out
    end = at(0, local)
    assert final([*found, *paced.on_end(end)]) == final([*expected, *unpaced.on_end(end)])


def final(out: list[Any]) -> dict[tuple[str, int], tuple[object, ...]]:
    """The last version of every closed candle, without what says how it came about."""
    return {
        (c.timeframe, c.open_time): (
            c.open,
            c.high,
            c.low,
            c.close,
            c.volume,
            c.trades,
            c.first_id,
            c.last_id,
            c.status,
        )
        for c in closed(out)
    }


@given(st.data())
def test_any_cut_into_batches_gives_the_same_candles(data: st.DataObject) -> None:
    trades = data.draw(trade_runs())
    end_ms = trades[-1].time - BEGIN + 6 * MINUTE
    last, end = batch(trade(len(trades) + 1, end_ms)), at(end_ms, LATER)
    whole, cuts = builder(), builder()
    expected = whole.on_events(batch(*trades), at(0)) + whole.on_events(last, end)
    out: list[Any] = []
    for part in data.draw(cut(trades)):
        out += cuts.on_events(batch(*part), Now(part[-1].time, data.draw(st.integers(0, 500))))
        if data.draw(st.booleans()):
            state = pickle.loads(pickle.dumps(cuts.snapshot()))
            cuts = builder(state=state)
            out += cuts.on_events(Subscribed("market", ("BTCUSDT",), ()), Now(part[-1].time, 0))
    assert final(out + cuts.on_events(last, end)) == final(expected)


@given(trade_runs())
def test_rolled_up_minutes_equal_the_longer_candles(trades: list[AggregateTrade]) -> None:
    machine = builder("1m", "5m")
    out = machine.on_events(batch(*trades), at(0)) + machine.on_timer(at(trades[-1].time - BEGIN + 6 * MINUTE, LATER))
    minutes = [c for c in closed(out) if c.timeframe == "1m"]
    for five in (c for c in closed(out) if c.timeframe == "5m"):
        parts = [c for c in minutes if five.open_time <= c.open_time <= five.close_time and c.trades]
        if not parts:
            continue
        assert (five.open, five.close) == (parts[0].open, parts[-1].close)
        assert (five.high, five.low) == (max(c.high for c in parts), min(c.low for c in parts))
        assert five.volume == round(sum(c.volume for c in parts), 8)
        assert (five.trades, five.first_id, five.last_id) == (
            sum(c.trades for c in parts), parts[0].first_id, parts[-1].last_id,
        )  # fmt: skip


# --- the exchange's own candles ---


@pytest.mark.parametrize(("timeframe", "count"), [("3m", 480), ("30m", 48), ("1d", 1)])
def test_a_day_of_trades_equals_the_official_klines(timeframe: str, count: int) -> None:
    folder: Path = recording("binance-spot-pepeusdt-2024-10-27")
    trades = pepe_trades()
    machine = CandleBuilder("binance:PEPEUSDT", timeframes=("1m", timeframe), close_grace_ms=0, forming_ms=100)
    out: list[Any] = []
    for start in range(0, len(trades), 1_000):
        out += machine.on_events(TradeBatch("binance", "PEPEUSDT", trades[start : start + 1_000]), Now(0, 0))
    midnight = trades[0].time // 86_400_000 * 86_400_000 + 86_400_000
    out += machine.on_timer(Now(midnight, LATER))
    ours = {candle.open_time: candle for candle in closed(out) if candle.timeframe == timeframe}
    official = official_klines(folder / f"binance_spot_PEPEUSDT_{timeframe}_2024-10-27.csv")
    names = {"quote_volume": "quote_volume", "count": "trades", "taker_buy_base": "taker_buy_volume",
             "taker_buy_quote": "taker_buy_quote_volume"}  # fmt: skip
    assert len(official) == count
    for row in official:
        candle = ours[int(row.pop("open_time_ms"))]
        for name, value in row.items():
            ulps = 4 if "quote" in name else 0
            assert getattr(candle, names.get(name, name)) == pytest.approx(value, rel=ulps * 2**-52, abs=0), name


# --- times without trading, and how much is filled at once ---

SILENT = Silent("market", ("BTCUSDT",), ("aggTrade", "kline_1m"), 3_000, whole_line=True)
TRADES_SILENT = structs.replace(SILENT, kinds=("aggTrade",))
"""Nothing comes by a line that carries nothing but trades."""
SPEAKING = Speaking("market", ("BTCUSDT",), ("aggTrade",))
DAY_MINUTES = 1_440


def opened(out: list[Any], timeframe: str = "1m") -> list[int]:
    """The minutes whose candles were closed."""
    return [(c.open_time - BEGIN) // MINUTE for c in closed(out) if c.timeframe == timeframe]


def test_empty_periods_of_at_most_a_day_are_filled_at_once() -> None:
    machine = builder("1m", "5m")
    machine.on_events(batch(trade(1, 0)), at(0))
    out = machine.on_events(batch(trade(2, DAY_MINUTES * MINUTE)), at(DAY_MINUTES * MINUTE))
    assert opened(out) == list(range(DAY_MINUTES))


@pytest.mark.parametrize("days", [2, 10, 360_000])
def test_of_a_longer_time_nothing_is_invented_whatever_the_trade_says(days: int) -> None:
    machine = builder("1m", "5m", "1d")
    machine.on_events(batch(trade(1, 0)), at(0))
    later = days * DAY_MINUTES * MINUTE
    out = machine.on_events(batch(trade(2, later)), at(later))
    assert opened(out) == [0]
    assert opened(out, "5m") == [0]
    assert [(c.open_time, c.trades) for c in closed(out) if c.timeframe == "1d"] == [(BEGIN, 1)]
    assert opened(machine.on_events(batch(trade(3, later + MINUTE)), at(later + MINUTE))) == [later // MINUTE]


def test_time_alone_fills_no_more_than_a_day_either() -> None:
    machine = builder("1m", "5m")
    machine.on_events(batch(trade(1, 0)), at(0))
    later = at(30 * DAY_MINUTES * MINUTE, LATER)
    out = machine.on_timer(later)
    assert len(opened(out)) <= DAY_MINUTES + 1
    assert machine.on_timer(later) == []


def test_while_the_whole_line_is_silent_time_makes_no_empty_candles() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    assert opened(machine.on_timer(at(62_000, LATER))) == [0]
    machine.on_events(SILENT, at(70_000, LATER))
    assert machine.on_timer(at(600_000, LATER)) == []


def test_what_lies_in_a_silence_of_the_exchange_is_left_to_its_history() -> None:
    #   trades in minute 0 │ silent from minute 1 to 5 │ a trade in minute 6
    machine = builder("1m", "3m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(SILENT, at(59_000, LATER))
    machine.on_events(SPEAKING, at(6 * MINUTE, LATER))
    out = machine.on_events(batch(trade(2, 6 * MINUTE + 1)), at(6 * MINUTE + 1, LATER))
    assert opened(out) == [0]
    assert opened(out, "3m") == [0]


def test_trades_in_a_pause_are_candles_all_the_same() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(TradingStatus(("BTCUSDT",), "BREAK"), at(1_000, LATER))
    out = machine.on_events(batch(trade(2, 3 * MINUTE)), at(3 * MINUTE, LATER))
    assert opened(out) == [0]
    assert opened(machine.on_timer(at(4 * MINUTE + 2_000, 2 * LATER))) == [3]
    assert machine.on_timer(at(9 * MINUTE, 3 * LATER)) == []
    machine.on_events(TradingStatus(("BTCUSDT",), "TRADING"), at(10 * MINUTE, 3 * LATER))
    out = machine.on_events(batch(trade(3, 12 * MINUTE)), at(12 * MINUTE, 3 * LATER))
    assert opened(out) == [10, 11]


def test_a_silence_in_which_the_venue_knows_no_trade_is_no_pause() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(TRADES_SILENT, at(59_000, LATER))
    assert machine.on_events(TradeWitness("binance", "BTCUSDT", is_ahead=False), at(60_000, LATER)) != []
    assert opened(woken(machine, 3 * MINUTE + 2_000)) == [0, 1, 2]


def test_a_whole_exchange_that_is_silent_has_no_candles_whatever_rest_knows() -> None:
    """Klines come all the time while the exchange works: without them that no trade was made says nothing."""
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(structs.replace(SILENT, kinds=("aggTrade", "kline_1m")), at(59_000, LATER))
    machine.on_events(TradeWitness("binance", "BTCUSDT", is_ahead=False), at(60_000, LATER))
    machine.on_events(Subscribed("market", ("BTCUSDT",), ("btcusdt@aggTrade", "btcusdt@kline_1m")), at(70_000, LATER))
    assert opened(woken(machine, 5 * MINUTE)) == [0]
    running = kline_of_ones(open_time=BEGIN + 5 * MINUTE, event_time=BEGIN + 5 * MINUTE + 1_000, is_closed=False)
    machine.on_events([running], at(5 * MINUTE + 1_000, 2 * LATER))
    machine.on_events(batch(trade(2, 7 * MINUTE)), at(7 * MINUTE, 2 * LATER))
    assert opened(woken(machine, 8 * MINUTE + 2_000)) == [7]


def kline_at(minute: int, ms: int) -> Kline:
    """The exchange's running kline of a minute, sent so long after its begin."""
    begin = BEGIN + minute * MINUTE
    return kline_of_ones(open_time=begin, event_time=begin + ms, is_closed=False)


def test_where_klines_come_an_empty_period_closes_by_time_only_when_one_was_sent_behind_it() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events([kline_at(0, 50_000)], at(50_000, LATER))
    assert opened(woken(machine, 3 * MINUTE)) == [0], "what has trades is known to be whole"
    assert machine.due_in(at(5 * MINUTE, 3 * LATER)) is None
    machine.on_events([kline_at(3, 20)], at(3 * MINUTE + 20, 3 * LATER))
    out = machine.on_timer(at(5 * MINUTE, 3 * LATER)) + machine.on_timer(at(5 * MINUTE, 3 * LATER + GRACE))
    assert opened(out) == [1, 2]
    assert machine.due_in(at(6 * MINUTE, 5 * LATER)) is None
    machine.on_events([ticker_of_ones(event_time=BEGIN + 6 * MINUTE)], at(6 * MINUTE, 5 * LATER))
    out = machine.on_timer(at(6 * MINUTE + GRACE, 5 * LATER)) + machine.on_timer(
        at(6 * MINUTE + GRACE, 5 * LATER + GRACE)
    )
    assert opened(out) == [3, 4, 5], "a ticker says that the exchange is alive, too"


def shown(out: Sequence[Any]) -> list[tuple[str, int, int]]:
    """Timeframe, minute and trades of the running candles."""
    return [
        (c.timeframe, (c.open_time - BEGIN) // MINUTE, c.trades)
        for c in out
        if isinstance(c, Candle) and not c.is_closed
    ]


def test_an_exchange_that_stops_and_goes_on_where_it_was_has_no_newer_candle_than_its_own() -> None:
    #   a trade and a kline at 6 s │ silent, 3 minutes by our clock │ the exchange goes on at 7 s
    machine = builder("1m", "5m")
    machine.on_events(batch(trade(1, 6_000, 10.0)), at(6_000))
    machine.on_events([kline_at(0, 6_500)], at(6_500))
    machine.on_events(SILENT, at(12_000, LATER))
    out = woken(machine, 3 * MINUTE)
    assert opened(out) == [0]
    assert shown(out)[-1] == ("5m", 0, 1), "of the empty minute 1 nothing is known"
    assert ("1m", 1, 0) not in shown(out)
    out = machine.on_events([kline_at(0, 7_000)], at(3 * MINUTE, 3 * LATER))
    out += machine.on_events(batch(trade(2, 7_000, 11.0)), at(3 * MINUTE + 1, 3 * LATER))
    out += machine.on_timer(at(3 * MINUTE + 200, 3 * LATER + GRACE))
    assert ("1m", 1, 0) not in shown(out)
    assert closed(out)[-1].close == 11.0, "its own minute goes on"
    assert shown(machine.on_events([kline_at(1, 20)], at(4 * MINUTE, 4 * LATER))) == [("1m", 1, 0), ("5m", 0, 2)]


def test_a_halt_stays_one_when_the_venue_knows_no_later_trade_afterwards() -> None:
    #   a trade in minute 0 │ halted in minutes 1 to 3 │ trades again, silent in minute 5
    nothing_later = TradeWitness("binance", "BTCUSDT", is_ahead=False)
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(TradingStatus(("BTCUSDT",), "BREAK"), at(59_000, LATER))
    machine.on_events(TradingStatus(("BTCUSDT",), "TRADING"), at(4 * MINUTE, LATER))
    machine.on_events(nothing_later, at(4 * MINUTE + 1_000, LATER))
    machine.on_events(TRADES_SILENT, at(5 * MINUTE, LATER))
    machine.on_events(nothing_later, at(5 * MINUTE + 1_000, LATER))
    assert opened(woken(machine, 6 * MINUTE + 2_000)) == [0, 4, 5]


def test_a_halt_in_which_the_line_falls_silent_stays_one() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(TRADES_SILENT, at(59_000, LATER))
    machine.on_events(TradingStatus(("BTCUSDT",), "BREAK"), at(70_000, LATER))
    machine.on_events(TradeWitness("binance", "BTCUSDT", is_ahead=False), at(80_000, LATER))
    assert opened(woken(machine, 3 * MINUTE)) == [0]
    machine.on_events(TradingStatus(("BTCUSDT",), "TRADING"), at(4 * MINUTE, LATER))
    assert opened(woken(machine, 5 * MINUTE + 2_000)) == [4]


def test_one_silent_stream_of_many_is_no_pause() -> None:
    machine = builder("1m")
    machine.on_events(batch(trade(1, 0)), at(0))
    machine.on_events(structs.replace(SILENT, whole_line=False), at(59_000, LATER))
    machine.on_events(structs.replace(SILENT, line="public", kinds=("depth",)), at(59_000, LATER))
    assert opened(woken(machine, 2 * MINUTE + 2_000)) == [0, 1]
