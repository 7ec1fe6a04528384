from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.model import Disconnected, Subscribed, Trade, TradeBatch, TradesRefused, Watermark
from flows.operators.trades.sequence import Sequencer
from tests.fakes.sequencing import answered
from tests.fakes.trades import BEGIN, at, cut, trade, trade_runs

DOWN, UP = Disconnected("market", ("BTCUSDT",), "cut"), Subscribed("market", ("BTCUSDT",), ())
OTHER_DOWN, OTHER_UP = Disconnected("public", ("BTCUSDT",), "cut"), Subscribed("public", ("BTCUSDT",), ())


def sequencer(**options: Any) -> Sequencer:
    return Sequencer("binance:BTCUSDT", reorder_ms=200, **options)


def begun() -> Sequencer:
    machine = sequencer()
    machine.on_events([trade(1, 0)], at(0))
    machine.on_timer(at(200))
    return machine


def marks(out: list[Any]) -> list[int | None]:
    return [item.stopped_at for item in out if isinstance(item, Watermark)]


def test_it_stops_while_trades_wait_for_their_predecessor_and_goes_on_behind_them() -> None:
    machine = begun()
    assert marks(machine.on_events([trade(3, 20)], at(20))) == [BEGIN]
    assert marks(machine.on_events([trade(4, 30)], at(30))) == []  # told once
    out = machine.on_events([trade(2, 10)], at(31))
    assert [type(item) for item in out] == [TradeBatch, Watermark]
    assert marks(out) == [None]


def test_it_stops_while_a_connection_is_down_and_until_a_trade_in_sequence_has_come() -> None:
    machine = begun()
    assert marks(machine.on_events(DOWN, at(10))) == [BEGIN]
    assert marks(machine.on_events(OTHER_DOWN, at(11))) == []
    assert marks(machine.on_events(UP, at(20))) == []
    assert marks(machine.on_events([trade(2, 30)], at(30))) == []  # the other one is still down
    assert marks(machine.on_events(OTHER_UP, at(40))) == [None]
    assert marks(machine.on_events(DOWN, at(50))) == [BEGIN + 30]
    assert marks(machine.on_events(UP, at(60))) == []  # nobody knows what was missed meanwhile
    assert marks(machine.on_events([trade(3, 70)], at(70))) == [None]


def test_after_a_restart_it_has_stopped_until_a_trade_in_sequence_has_come() -> None:
    machine = sequencer(state=begun().snapshot())
    assert marks(machine.on_events(UP, at(300))) == []
    assert marks(machine.on_events([trade(2, 310)], at(310))) == [None]


def test_it_stops_while_the_newest_trades_are_refused() -> None:
    machine = begun()
    assert marks(machine.on_events(TradesRefused(), at(300, 300))) == [BEGIN]
    assert marks(machine.on_events([trade(2, 400)], at(400, 400))) == [None]


@given(st.data())
def test_whatever_is_missing_no_trade_comes_behind_a_watermark_that_follows_the_clock(data: st.DataObject) -> None:
    """While it follows the clock, all that has arrived is handed on; it changes whenever it is published."""
    trades: list[Trade] = data.draw(trade_runs(max_step_ms=50))
    arrivals = [one for one in trades if one.id == 1 or data.draw(st.booleans())]
    machine = sequencer(repair_ms=30_000)
    is_stopped, arrived = False, 0
    handed_on: set[int] = set()
    for run in data.draw(cut(arrivals)):
        arrived = max(arrived, *(one.id for one in run))
        for item in answered(machine, machine.on_events(run, at(0)), trades, at(0)):
            if isinstance(item, Watermark):
                assert (item.stopped_at is not None) is not is_stopped
                is_stopped = item.stopped_at is not None
            elif isinstance(item, TradeBatch):
                handed_on |= {one.id for one in item.trades}
        assert is_stopped or handed_on >= set(range(1, arrived + 1))
        if not handed_on:
            for item in machine.on_timer(at(200)):
                if isinstance(item, Watermark):
                    is_stopped = item.stopped_at is not None
                elif isinstance(item, TradeBatch):
                    handed_on |= {one.id for one in item.trades}
