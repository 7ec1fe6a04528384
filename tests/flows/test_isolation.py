"""The law of isolation: for a tape, and one message of it that is changed into, or joined by, something that cannot be
true, everything is as without that message, and it is in the ledger of rejects.

What is changed is drawn from all that is wrong by one field (`false_messages`), and from a mutation of bytes.
"""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.examples import examples
from tests.fakes.false_messages import falsehoods
from tests.fakes.isolated import Flow, Market, Message, Results
from tests.fakes.mutations import mutated

MARKET = Market()
TAPE = [(message.time, message.line, message.frame()) for message in MARKET.tape]
LAST = len(MARKET.tape) - 60
"""Messages behind this one lack the successors that show what they have done."""
BEGUN = 6
"""Behind so many messages both instruments have trades that contradict what is false; before, a false first trade has
none before it.
"""
FIRST = 40
"""So many messages begin every stream."""


@cache
def undisturbed() -> Results:
    return Flow(MARKET).run(TAPE)


def disturbed(position: int, frame: bytes, *, replaces: bool) -> Results:
    message = MARKET.tape[position]
    wrong = (message.time, message.line, frame)
    return Flow(MARKET).run([*TAPE[:position], wrong, *TAPE[position + replaces :]])


def assert_as_without(found: Results) -> None:
    expected = undisturbed()
    assert found.trades == expected.trades
    assert found.candles == expected.candles
    assert found.prices == expected.prices
    assert found.book == expected.book


def test_the_market_itself_is_served_whole() -> None:
    found = undisturbed()
    assert found.rejected == []
    assert found.incidents == []
    assert {symbol: len(trades) for symbol, trades in found.trades.items()} == {
        symbol: len(trades) for symbol, trades in MARKET.trades.items()
    }
    assert {(candle.status, candle.proof) for candle in found.candles.values()} == {("final", "equal")}
    assert found.book.synced


@st.composite
def wrong_messages(draw: st.DrawFn) -> tuple[int, str, Message]:
    position = draw(st.integers(BEGUN, LAST))
    name, message = draw(st.sampled_from(falsehoods(MARKET.tape[position])))
    return position, name, message


@pytest.mark.slow
@settings(max_examples=examples(15), deadline=None, derandomize=True)
@given(wrong=wrong_messages(), replaces=st.booleans())
def test_one_wrong_message_changes_nothing_but_itself(wrong: tuple[int, str, Message], *, replaces: bool) -> None:
    position, _, message = wrong
    is_first = position < FIRST  # what is lost before the first trade is nobody's hole
    assert_as_without(disturbed(position, message.frame(), replaces=replaces and not is_first))


@pytest.mark.slow
@settings(max_examples=examples(8), deadline=None, derandomize=True)
@given(position=st.integers(0, LAST), seed=st.integers(0, 2**32))
def test_no_mutation_of_bytes_ends_the_flow_or_holds_up_the_next_message(position: int, seed: int) -> None:
    """What a mutated frame says may be true by chance, so only what must hold for any frame is asked."""
    found = disturbed(position, mutated(TAPE[position][2], seed).frame, replaces=True)
    assert {s: t[-1].id for s, t in found.trades.items()} == {s: t[-1].id for s, t in undisturbed().trades.items()}
    assert all(candle.low > 0 for candle in found.candles.values())
    assert found.book.synced


@pytest.mark.slow
@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "T +3600000",
        "T +864000000",
        "E +86400000",
        "T and E +3600000",
        "a +9007199254740992",
        "f > l",
        "l + 2^53",
        "s X17USDT",
    ],
)
def test_what_is_refused_is_in_the_ledger_with_its_reason(name: str, *, replaces: bool) -> None:
    position = next(i for i, m in enumerate(MARKET.tape) if m.data["e"] == "aggTrade" and i > LAST // 2)
    message = dict(falsehoods(MARKET.tape[position]))[name]
    found = disturbed(position, message.frame(), replaces=replaces)
    assert_as_without(found)
    assert len(found.rejected) == 1
    assert found.rejected[0].reason


def test_no_call_makes_more_than_a_day_of_candles() -> None:
    for name in ("T and E +86400000", "E +864000000"):
        position = next(i for i, m in enumerate(MARKET.tape) if m.data["e"] == "aggTrade" and i > 500)
        message = dict(falsehoods(MARKET.tape[position]))[name]
        flow = Flow(MARKET)
        frame = (message.time, message.line, message.frame())
        flow.run([*TAPE[:position], frame, *TAPE[position:]])
        assert flow.most_at_once <= 20
