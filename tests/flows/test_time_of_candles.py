"""Whatever the local clock or the exchange's does, no candle is closed before its end, and none later than the grace
after it.
"""

from collections.abc import Callable

import pytest

from flows.settings import Feed
from tests.fakes.isolated import LENGTHS, STEP_MS, Flow, Market, Message

MARKET = Market(seconds=200)
GRACE_MS = Feed().close_grace_ms
JUMPS_AT_MS = 40_000
HOUR = 3_600_000


def closed_in_time(flow: Flow, *, slack_ms: int = 0) -> None:
    """`slack_ms` is for the time in which the messages show what the clock has done."""
    assert len(flow.closed_at) >= 6
    for (_, timeframe, open_time), closed_at in flow.closed_at.items():
        end = open_time + LENGTHS[timeframe]
        assert end <= closed_at + STEP_MS, "closed before its end"
        assert closed_at <= end + GRACE_MS + 2 * STEP_MS + slack_ms, "closed too late"


@pytest.mark.slow
@pytest.mark.parametrize(
    "local_of",
    [
        lambda true_ms: true_ms,
        lambda true_ms: true_ms * 1_000_100 // 1_000_000,
        lambda true_ms: true_ms * 999_900 // 1_000_000,
        lambda true_ms: true_ms + HOUR * (true_ms >= JUMPS_AT_MS),
        lambda true_ms: true_ms + 8_000 * (true_ms >= JUMPS_AT_MS),
    ],
    ids=["true", "100 ppm fast", "100 ppm slow", "jumps by an hour", "jumps by 8 s"],
)
def test_a_local_clock_that_drifts_or_jumps_closes_nothing_early_and_nothing_late(
    local_of: Callable[[int], int],
) -> None:
    flow = Flow(MARKET)
    found = flow.run([(m.time, m.line, m.frame()) for m in MARKET.tape], local_of=local_of)
    closed_in_time(flow)
    assert {(c.status, c.proof) for c in found.candles.values()} == {("final", "equal")}


def moved(message: Message, by_ms: int) -> Message:
    """The same with another event time."""
    return message._replace(data=message.data | {"E": message.data["E"] + by_ms})


@pytest.mark.slow
@pytest.mark.parametrize("by_ms", [6_000, HOUR, 20 * HOUR])
@pytest.mark.parametrize("lasts_ms", [500, 4_000, 10**9])
def test_an_exchange_whose_clock_jumps_closes_nothing_early(by_ms: int, lasts_ms: int) -> None:
    begin = MARKET.tape[0].time + JUMPS_AT_MS
    tape = [moved(m, by_ms) if begin <= m.time < begin + lasts_ms else m for m in MARKET.tape]
    flow = Flow(MARKET)
    found = flow.run([(old.time, new.line, new.frame()) for old, new in zip(MARKET.tape, tape, strict=True)])
    for (_, timeframe, open_time), closed_at in flow.closed_at.items():
        assert open_time + LENGTHS[timeframe] <= closed_at + STEP_MS
    assert {s: len(t) for s, t in found.trades.items()} == {s: len(t) for s, t in MARKET.trades.items()}
    assert all(c.status == "final" for c in found.candles.values())
    assert {i.kind for i in found.incidents} >= ({"clock"} if lasts_ms > 4_000 else set())
