import pytest

from flows.clock import FeedClock
from flows.model import Flush, Incident
from flows.operators.refusals import EVERY_MS, NAMED, Refusals, RejectIncidents


def test_the_first_is_told_at_once_and_the_others_together_a_second_later() -> None:
    refusals = Refusals("trades")
    assert refusals.take_report(0, ends=False) is None
    refusals.note("odd")
    assert refusals.due is None
    assert refusals.take_report(10, ends=False) == "trades refused: 1, the last one for this: odd"
    refusals.note("odd", 3)
    refusals.note("even")
    assert refusals.due == 10 + EVERY_MS
    assert refusals.take_report(9 + EVERY_MS, ends=False) is None
    assert refusals.take_report(10 + EVERY_MS, ends=False) == "trades refused: 4, the last one for this: even"
    assert (refusals.due, refusals.count) == (None, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_the_end_of_the_input_does_not_wait(count: int) -> None:
    refusals = Refusals("trades")
    refusals.note("odd")
    refusals.take_report(0, ends=False)
    refusals.note("odd", count)
    assert refusals.take_report(1, ends=True) == f"trades refused: {count}, the last one for this: odd"


def test_a_report_says_how_many_of_which_symbols() -> None:
    refusals = Refusals("messages")
    for number in range(NAMED + 2):
        refusals.note("odd", 2, f"X{number}")
    refusals.note("even", 1, "X0")
    said = refusals.take_report(0, ends=False) or ""
    assert said.startswith(f"messages refused: {2 * NAMED + 5} (X0 3, X1 2, ")
    assert said.endswith("X9 2, and 2 more), the last one for this: even")
    refusals.note("odd")
    assert refusals.take_report(EVERY_MS, ends=False) == "messages refused: 1, the last one for this: odd"


def reject(symbol: str, cause: str = "trades refused: 1", end: int = 5) -> Incident:
    return Incident("reject", "binance", symbol, 1, end, cause, "kept out of everything")


def test_refusals_of_a_venue_are_one_incident_a_second_that_names_each_symbol() -> None:
    local = [0]
    bounded = RejectIncidents(FeedClock(lambda: local[0]))
    gap = Incident("gap", "binance", "BTCUSDT", 1, 2, "3 trades did not arrive")
    assert bounded([gap, reject("BTCUSDT")]) == [gap, reject("BTCUSDT")]
    local[0] = 400
    assert bounded([reject("BTCUSDT"), reject("ETHUSDT"), gap]) == [gap]
    local[0] = 900
    assert bounded([reject("", "messages refused: 2", end=9)]) == []
    local[0] = EVERY_MS
    cause = "BTCUSDT: trades refused: 1; ETHUSDT: trades refused: 1; messages refused: 2"
    assert bounded([]) == [reject("", cause, end=9)]
    assert bounded([]) == []
    assert bounded([reject("ETHUSDT"), reject("ETHUSDT"), Flush(final=True)]) == [
        reject("ETHUSDT", "ETHUSDT: trades refused: 1; ETHUSDT: trades refused: 1")
    ]
    assert bounded([reject("X")]) == [reject("X")], "nothing calls it again behind the end"


def test_however_many_refuse_at_once_there_is_one_incident_a_second() -> None:
    local = [0]
    bounded = RejectIncidents(FeedClock(lambda: local[0]))
    told = []
    for local[0] in range(0, 28_000, 50):
        told += bounded([reject(f"X{number}") for number in range(40)])
    assert len(told) == 28
    assert max(len(one.cause) for one in told) < 40 * (NAMED + 1)
