import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.market.lives import (
    ALWAYS,
    MOST_CHANGES,
    Change,
    Life,
    LifeOrder,
    Lives,
    State,
    Turn,
    Word,
    decode_life,
)

WORDS: tuple[Word, ...] = ("list", "halt", "resume", "delist")


def test_a_symbol_is_listed_halted_resumed_and_delisted() -> None:
    changes = [Change(400, "delist"), Change(200, "halt"), Change(300, "resume"), Change(100, "list")]
    life = Life(changes, is_listed=False)
    assert life.turns == (
        Turn(0, State.UNLISTED),
        Turn(100, State.TRADING),
        Turn(200, State.HALTED),
        Turn(300, State.TRADING),
        Turn(400, State.DELISTED),
    )
    assert [life.state(time_ms) for time_ms in (0, 99, 100, 199, 200, 299, 300, 399, 400, 10**15)] == [
        *[State.UNLISTED] * 2,
        *[State.TRADING] * 2,
        *[State.HALTED] * 2,
        *[State.TRADING] * 2,
        *[State.DELISTED] * 2,
    ]
    spans = [(0, 100), (0, 101), (200, 300), (199, 300), (299, 301), (400, 500), (250, 251)]
    assert [life.trades_within(*span) for span in spans] == [False, True, False, True, True, False, False]
    assert life.begin_of(State.HALTED, 199) is None
    assert life.begin_of(State.HALTED, 200) == 200
    assert life.begin_of(State.DELISTED, 10**15) == 400


def test_a_symbol_without_changes_trades_always() -> None:
    assert (ALWAYS.state(0), ALWAYS.state(10**15)) == (State.TRADING, State.TRADING)
    assert ALWAYS.trades_within(5, 6)


@given(st.lists(st.builds(Change, st.integers(1, 50), st.sampled_from(WORDS)), max_size=12), st.booleans())
def test_nothing_leaves_what_is_final_and_nothing_is_there_before_it_is_listed(
    changes: list[Change], is_listed: bool
) -> None:
    life = Life(changes, is_listed=is_listed)
    states = [life.state(time_ms) for time_ms in range(60)]
    if State.DELISTED in states:
        assert set(states[states.index(State.DELISTED) :]) == {State.DELISTED}
    if not is_listed:
        listed = min((change.at_ms for change in changes if change.word == "list"), default=60)
        assert set(states[:listed]) == {State.UNLISTED}
    for begin in range(60):
        assert life.trades_within(begin, begin + 1) == (states[begin] is State.TRADING)


def test_changes_are_bounded() -> None:
    life = Life([Change(number, "halt") for number in range(MOST_CHANGES)])
    with pytest.raises(ValueError, match="may change 1000 times"):
        life.add(Change(MOST_CHANGES, "resume"))


def test_an_order_comes_at_the_end_of_what_is_made_already() -> None:
    lives = Lives({"A": Life()})
    lives.make(20_000)
    lives.order(LifeOrder("A", "halt", for_s=5), 1_000)
    assert lives.life("A").turns[1:] == (Turn(20_000, State.HALTED), Turn(25_000, State.TRADING))
    lives.order(LifeOrder("A", "delist", after_s=60), 1_000)
    assert lives.life("A").state(61_000) is State.DELISTED
    assert lives.report(20_000) == {
        "A": {
            "state": "halted",
            "coming": [{"at": 25_000, "state": "trading"}, {"at": 61_000, "state": "delisted"}],
        }
    }


def test_an_order_that_changes_nothing_is_refused() -> None:
    lives = Lives({"A": Life()})
    with pytest.raises(ValueError, match="A is trading then: resume changes nothing"):
        lives.order(LifeOrder("A", "resume"), 0)
    with pytest.raises(ValueError, match="no symbol B of a synthetic market; it has A"):
        lives.order(LifeOrder("B", "halt"), 0)
    with pytest.raises(ValueError, match="it has none"):
        Lives().order(LifeOrder("B", "halt"), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b'{"symbol": "A"}',
        b'{"symbol": "A", "change": "vanish"}',
        b'{"symbol": "A", "change": "halt", "after_s": -1}',
        b'{"symbol": "A", "change": "halt", "for_s": 0}',
        b'{"symbol": "A", "change": "halt", "for_s": 1e300}',
        b'{"symbol": "A", "change": "delist", "for_s": 5}',
        b'{"symbol": "A", "change": "halt", "more": 5}',
    ],
)
def test_orders_that_are_none(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_life(wrong)


def test_an_order_is_read_as_it_is_written() -> None:
    order = LifeOrder("ETHUSDT", "halt", after_s=1.5, for_s=60)
    assert decode_life(msgspec.json.encode(order)) == order
