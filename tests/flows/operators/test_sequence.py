import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.model import Disconnected, Gap, Incident, Kline, Trade, TradeBatch
from flows.operators import sequence
from flows.operators.sequence import Sequencer
from tests.fakes.trades import BEGIN, at, cut, trade, trade_runs


def sequencer() -> Sequencer:
    return Sequencer("binance:BTCUSDT", reorder_ms=200)


def begun(first: int = 1) -> Sequencer:
    """A sequencer that has handed on the trade `first`."""
    machine = sequencer()
    machine.on_events([trade(first, 0)], at(0))
    assert ids(machine.on_timer(at(200))) == [first]
    return machine


def ids(out: list[Any]) -> list[int]:
    return [t.id for item in out if isinstance(item, TradeBatch) for t in item.trades]


def test_a_run_in_sequence_is_handed_on_as_it_is() -> None:
    machine, run = begun(), [trade(2, 10), trade(3, 11)]
    assert machine.on_events(run, at(11)) == [TradeBatch("binance", "BTCUSDT", run)]


def test_the_beginning_waits_for_the_lowest_id() -> None:
    machine = sequencer()
    assert machine.on_events([trade(7, 5)], at(5)) == []
    assert machine.on_events([trade(6, 4)], at(6)) == []
    assert machine.due_in(at(6)) == 199
    assert ids(machine.on_timer(at(205))) == [6, 7]


def test_a_straggler_is_put_in_its_place() -> None:
    #   3 ─ 4   arrive, then 2
    machine = begun()
    assert machine.on_events([trade(3, 20), trade(4, 30)], at(300)) == []
    assert ids(machine.on_events([trade(2, 10)], at(310))) == [2, 3, 4]
    assert machine.due_in(at(310)) is None


def test_a_hole_that_is_not_filled_in_time_is_a_gap_with_its_ids_and_times() -> None:
    machine = begun()
    machine.on_events([trade(5, 40)], at(300))
    out = machine.on_timer(at(500))
    assert out == [
        Gap("binance", "BTCUSDT", 2, 4, BEGIN, BEGIN + 40),
        Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN + 40, "3 trades did not arrive", "open", 2, 4),
        TradeBatch("binance", "BTCUSDT", [trade(5, 40)]),
    ]


def test_what_fills_a_gap_later_is_late_and_only_once() -> None:
    machine = begun()
    machine.on_events([trade(5, 40)], at(300))
    machine.on_timer(at(500))
    assert machine.on_events([trade(3, 20)], at(600)) == [
        TradeBatch("binance", "BTCUSDT", [trade(3, 20)], late=True),
    ]
    assert machine.on_events([trade(3, 20)], at(610)) == []
    assert machine.duplicates == 1


def test_duplicates_are_dropped_and_counted() -> None:
    machine = begun()
    assert ids(machine.on_events([trade(1, 0), trade(2, 10), trade(2, 10)], at(10))) == [2]
    assert machine.duplicates == 2


def test_more_held_than_the_bound_is_a_gap_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(sequence, "MAX_HELD", 3)
    machine = begun()
    out = machine.on_events([trade(number, number) for number in range(3, 7)], at(300))
    assert ids(out) == [3, 4, 5, 6]
    assert isinstance(out[0], Gap)


def test_ids_that_begin_anew_are_noticed() -> None:
    machine = begun(first=1_000)
    out = machine.on_events([trade(1, 120_000)], at(120_000))
    assert [item.kind for item in out if isinstance(item, Incident)] == ["gap"]
    assert ids(machine.on_timer(at(120_200))) == [1]


def test_everything_else_passes() -> None:
    machine = sequencer()
    event = Disconnected("market", ("BTCUSDT",), "cut")
    kline = Kline("BTCUSDT", "1m", 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, is_closed=True)
    assert machine.on_events(event, at(0)) == [event]
    assert machine.on_events([kline], at(0)) == [[kline]]


def test_the_end_hands_on_what_is_held() -> None:
    machine = begun()
    machine.on_events([trade(4, 40)], at(300))
    assert ids(machine.on_end(at(300))) == [4]


def test_a_restart_goes_on_where_it_was() -> None:
    machine = begun()
    machine.on_events([trade(3, 20)], at(300))
    state = pickle.loads(pickle.dumps(machine.snapshot()))
    again = Sequencer("binance:BTCUSDT", reorder_ms=200, state=state)
    assert ids(again.on_events([trade(2, 10)], at(310))) == [2, 3]


@given(st.data())
def test_any_cut_duplication_and_permutation_within_the_bound_gives_the_same_trades(data: st.DataObject) -> None:
    trades: list[Trade] = data.draw(trade_runs(max_step_ms=50))
    repeated = data.draw(st.lists(st.sampled_from(trades), max_size=20))
    arrivals = data.draw(st.permutations([*trades, *repeated]))
    machine = sequencer()
    out: list[Any] = []
    for batch in data.draw(cut(arrivals)):
        out += machine.on_events(batch, at(0))  # within the bound: no time passes for a hole
    out += machine.on_timer(at(200))
    assert [t for item in out for t in item.trades] == trades
    assert machine.duplicates == len(repeated)
