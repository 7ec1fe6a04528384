"""Whenever a process ends, and however long the next one needs: what is stored is what one that never ended has stored,
in the same versions.

Left out are the periods in which the market began: whether a kline of the exchange completes them before they close
depends on what comes first, in a process that never ends too.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.model import Candle
from tests.fakes.examples import examples
from tests.fakes.restarts import FIRST_MS, Life, Market, Store, lived

STEPS = 110
MARKET = Market(STEPS)
BEGUN = 8
"""Steps until the first state that is kept knows a trade: without any, the next process would begin like the first."""


def versions(store: Store) -> dict[tuple[str, int], Candle]:
    """The closed candles behind the market's begin."""
    known = store.candles.items()
    return {place: structs.replace(c, event_time=0) for place, c in known if c.is_closed and c.open_time > FIRST_MS}


@pytest.fixture(scope="module")
def calm() -> dict[tuple[str, int], Candle]:
    """Of a process that never ends."""
    found = versions(lived(MARKET, [Life()]))
    assert {(c.status, c.proof, c.revision) for c in found.values()} == {("final", "equal", 0)}
    assert len(found) == 10 + 1
    return found


AGAIN = {
    "slow history": (Life(slow=2),),
    "trades by REST before the stream": (Life(6, deaf=3, slow=1, away=2), Life(deaf=4, slow=1)),
    "history that never comes in time": (Life(8, slow=20, away=2), Life(7, slow=20), Life(deaf=9, slow=1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("after", AGAIN.values(), ids=AGAIN)
@pytest.mark.parametrize(("slow", "unkept"), [(0, 0), (25, 5), (40, 0)])
def test_a_kill_at_any_moment_changes_no_version(
    calm: dict[tuple[str, int], Candle], after: tuple[Life, ...], slow: int, unkept: int
) -> None:
    for lasts in range(slow + unkept + BEGUN, STEPS - 10):
        first = Life(lasts, slow=slow, unkept=unkept, away=lasts % 13)
        assert versions(lived(MARKET, [first, *after])) == calm, first


steps = st.integers(0, 30)
unkept_steps = st.integers(0, 15)
lives = st.lists(st.builds(Life, steps, deaf=steps, slow=steps, unkept=unkept_steps, away=steps), max_size=5)
last_lives = st.builds(Life, st.just(0), deaf=steps, slow=steps, unkept=st.just(0), away=st.just(0))


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(slow=steps, unkept=unkept_steps, more=st.integers(0, 40), later=lives, last=last_lives)
def test_any_number_of_kills_changes_no_version(
    calm: dict[tuple[str, int], Candle], slow: int, unkept: int, more: int, later: list[Life], last: Life
) -> None:
    first = Life(slow + unkept + BEGUN + more, slow=slow, unkept=unkept)
    assert versions(lived(MARKET, [first, *later, last])) == calm
