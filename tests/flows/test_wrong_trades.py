"""The law of a trade with a wrong value: what claims to be right is what it would be without it."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.model import Candle
from tests.fakes.examples import examples
from tests.fakes.isolated import Flow, Market, Results

MARKET = Market(340)
TAPE = [(message.time, message.line, message.frame()) for message in MARKET.tape]
TRADES = [
    number for number, message in enumerate(MARKET.tape) if message.stream.endswith("@aggTrade") and number > 100
][:-600]
"""Places of trades in the tape, with a minute behind them."""
CLAIMS = ("final", "repaired", "venue")


@cache
def undisturbed() -> Results:
    return Flow(MARKET).run(TAPE)


def values(candle: Candle) -> tuple[Any, ...]:
    return (*candle.prices, candle.volume, candle.trades)


@pytest.mark.slow
@settings(max_examples=examples(2), deadline=None, derandomize=True)
@given(
    place=st.sampled_from(TRADES),
    change=st.sampled_from([{"q": "0.77700000"}, {"q": "77.7"}, {"p": "90.00"}, {"p": "190.00"}]),
    gives_disputed=st.booleans(),
)
def test_no_version_that_claims_to_be_right_holds_the_wrong_value_at_the_end(
    place: int, change: dict[str, str], *, gives_disputed: bool
) -> None:
    message = MARKET.tape[place]
    wrong = message._replace(data={**message.data, **change})
    tape = [*TAPE[:place], (message.time, message.line, wrong.frame()), *TAPE[place + 1 :]]
    flow = Flow(MARKET, gives_disputed=gives_disputed)
    found = flow.run(tape)
    expected = undisturbed().candles
    assert found.candles.keys() == expected.keys()
    for key, candle in found.candles.items():
        if candle.status in CLAIMS:
            assert values(candle) == values(expected[key]), (key, candle.status, candle.proof)
    if gives_disputed:
        assert found.trades == undisturbed().trades
