"""Trades of many instruments that come together give what they give instrument by instrument."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.clock import FeedClock
from flows.model import MARKET_FILL, Flush, MarketEvent, Trade
from flows.operators.parse import Batch, Trades, by_instrument
from flows.operators.prices import Prices
from flows.operators.status.line_status import LineStatus
from flows.operators.status.observations import Observe
from flows.operators.trades.batching import MicroBatcher
from flows.operators.validate import Validate
from tests.fakes.candles import kline_of_ones
from tests.fakes.trades import BEGIN, trade

KEYS = {symbol: f"binance:{symbol}" for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")}
SOMETIMES_AHEAD = st.sampled_from((0, 0, 0, 0, 1, 40, 4_999, 7_000, 90_000, BEGIN * 999))
"""Milliseconds that the last trade of an instrument is ahead of its time; by the last of these it counts microseconds.
What those before it say counts only where they come together.
"""


class Chain:
    """The steps that see what a poll brings."""

    def __init__(self) -> None:
        self.local = 1_000
        clock = FeedClock(lambda: self.local)
        self.validate = Validate("binance", clock)
        self.prices = Prices(clock)
        self.status = LineStatus("binance", clock, wall_ms=lambda: 1, observe=Observe(lambda: self.local))
        self.batch = MicroBatcher(clock.twin(), hold_ms=20, monotonic_ms=lambda: self.local)

    def take(self, items: list[Any], local: int) -> tuple[Any, ...]:
        """What all of them give."""
        self.local = local
        events = self.validate(items)
        if not events:
            return ()  # the engine calls no step for nothing
        return self.prices(events), self.status(events), self.batch(events)


@st.composite
def polls(draw: st.DrawFn) -> list[tuple[list[Trade], bool]]:
    """Trades in the order of arrival, poll by poll, and whether a kline comes with them."""
    ids = dict.fromkeys(KEYS, 0)
    found = []
    for number in range(draw(st.integers(1, 6))):
        trades = []
        symbols = draw(st.lists(st.sampled_from(tuple(KEYS)), min_size=1, max_size=6))
        for place, symbol in enumerate(symbols):
            ids[symbol] += 1
            one = trade(ids[symbol], 10 * number, draw(st.sampled_from((0.0, 9.0, 10.0))))
            ahead = 0 if symbol in symbols[place + 1 :] else draw(SOMETIMES_AHEAD)
            fill = draw(st.sampled_from((MARKET_FILL, MARKET_FILL, "NA")))
            trades.append(structs.replace(one, symbol=symbol, event_time=one.event_time + ahead, fill=fill))
        found.append((trades, draw(st.booleans())))
    return found


def behind(number: int, *, has_kline: bool) -> list[Any]:
    """What else a poll brings."""
    events: list[MarketEvent] = [kline_of_ones(event_time=BEGIN + 10 * number)]
    return [*([Batch(KEYS["BTCUSDT"], events, "market")] if has_kline else []), Flush()]


@given(polls())
def test_they_give_what_they_give_by_instrument(found: list[tuple[list[Trade], bool]]) -> None:
    together, singly = Chain(), Chain()
    for number, (trades, has_kline) in enumerate(found):
        local = 1_000 + 10 * number
        one, other = (
            [
                Trades(trades, max(one.event_time for one in trades), KEYS, "market"),
                *behind(number, has_kline=has_kline),
            ]
            for _ in range(2)
        )
        assert together.take(one, local) == singly.take(by_instrument(other), local)
    assert together.take([Flush(final=True)], 9_000) == singly.take([Flush(final=True)], 9_000)


def test_what_comes_by_instrument_behind_them_stays_behind_them() -> None:
    """As the trades of a stream that has just been added, or of a second connection."""
    chain = Chain()
    chain.take([Trades([trade(1, 0)], BEGIN, KEYS, "market")], 1_000)
    chain.take([Batch(KEYS["BTCUSDT"], [trade(2, 1)], "market")], 1_001)
    chain.take([Trades([trade(3, 2)], BEGIN + 2, KEYS, "market")], 1_002)
    *_, released = chain.take([Flush(final=True)], 1_003)
    assert released == [(KEYS["BTCUSDT"], [trade(1, 0), trade(2, 1), trade(3, 2)])]
