"""Made-up trades, and strategies that make them."""

from hypothesis import strategies as st

from flows.clock import Now
from flows.model import AggregateTrade, Trade

BEGIN = 1_767_225_600_000
"""A midnight, so every timeframe begins there."""


def trade(number: int, time: int, price: float = 100.0, quantity: float = 1.0, *, sold: bool = False) -> Trade:
    """A trade at `BEGIN + time`."""
    return Trade("BTCUSDT", number, BEGIN + time, price, quantity, sold, BEGIN + time)


def at(time: int, local: int = 0) -> Now:
    """The moment `BEGIN + time` of the feed."""
    return Now(BEGIN + time, local)


prices = st.integers(1, 10_000_000).map(lambda cents: cents / 100)
quantities = st.integers(1, 10**9).map(lambda units: units / 10**5)


@st.composite
def trade_runs(draw: st.DrawFn, *, max_size: int = 60, max_step_ms: int = 40_000) -> list[Trade]:
    """Trades with ids that rise by one and times that never fall, over several minutes."""
    steps = draw(st.lists(st.integers(0, max_step_ms), min_size=1, max_size=max_size))
    time, raw = 0, 500
    trades: list[Trade] = []
    for number, step in enumerate(steps):
        time += step
        covers = draw(st.integers(1, 3))
        trades.append(
            AggregateTrade(
                symbol="BTCUSDT",
                id=number + 1,
                time=BEGIN + time,
                price=draw(prices),
                quantity=draw(quantities),
                buyer_is_maker=draw(st.booleans()),
                event_time=BEGIN + time,
                first_id=raw,
                last_id=raw + covers - 1,
            )
        )
        raw += covers
    return trades


@st.composite
def cut(draw: st.DrawFn, items: list[Trade]) -> list[list[Trade]]:
    """The items in batches of any sizes."""
    batches, rest = [], list(items)
    while rest:
        size = draw(st.integers(1, len(rest)))
        batches.append(rest[:size])
        rest = rest[size:]
    return batches
