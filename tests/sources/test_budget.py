import asyncio

from hypothesis import given
from hypothesis import strategies as st

from flows.asks import Urgency
from sources.budget import WINDOW_S, WeightBudget, WeightMeter

LIMIT = 100


def test_what_was_spent_counts_for_a_minute() -> None:
    meter = WeightMeter(LIMIT)
    meter.spend(60, 0.0)
    meter.spend(40, 10.0)
    assert (meter.used(10.0), meter.wait_s(1, 10.0)) == (100, 50.0)
    assert (meter.used(60.0), meter.wait_s(60, 60.0), meter.wait_s(61, 60.0)) == (40, 0.0, 10.0)


def test_what_the_venue_says_is_the_truth() -> None:
    meter = WeightMeter(LIMIT)
    meter.spend(10, 0.0)
    meter.told(95, 1.0)  # somebody else on this address
    assert (meter.used(1.0), meter.wait_s(5, 1.0), meter.wait_s(6, 1.0)) == (95, 0.0, 60.0)
    meter.spend(5, 2.0)
    assert meter.used(2.0) == 100
    meter.told(3, 3.0)  # its minute is over; what we spent still counts for ours
    assert meter.used(3.0) == 15


def test_a_venue_that_wants_to_be_left_alone_is() -> None:
    meter = WeightMeter(LIMIT)
    meter.hold(7.0, 1.0)
    assert meter.wait_s(1, 2.0) == 6.0
    assert meter.wait_s(1, 8.0) == 0.0


def test_a_request_heavier_than_the_limit_goes_alone() -> None:
    meter = WeightMeter(LIMIT)
    assert meter.wait_s(500, 0.0) == 0.0
    meter.spend(1, 0.0)
    assert meter.wait_s(500, 0.0) == WINDOW_S


@given(
    st.lists(
        st.tuples(st.integers(1, LIMIT), st.floats(0, 30), st.one_of(st.none(), st.integers(0, LIMIT))), max_size=60
    ),
    st.floats(0, WINDOW_S),
)
def test_no_minute_of_any_clock_ever_passes_the_limit(
    requests: list[tuple[int, float, int | None]], phase_s: float
) -> None:
    meter = WeightMeter(LIMIT)
    now, minutes = 0.0, dict[int, int]()
    for weight, pause, told in requests:
        now += pause
        if told is not None:
            meter.told(told, now)
        for _ in range(100):
            wait = meter.wait_s(weight, now)
            if not wait:
                break
            now += wait
        assert not meter.wait_s(weight, now)
        meter.spend(weight, now)
        minute = int((now + phase_s) // WINDOW_S)
        minutes[minute] = minutes.get(minute, 0) + weight
    assert max(minutes.values(), default=0) <= LIMIT


async def test_the_most_urgent_goes_first() -> None:
    now = [0.0]
    budget = WeightBudget(LIMIT, now_s=lambda: now[0])
    await budget.spend(LIMIT, Urgency.AUDIT)
    order: list[tuple[Urgency, int]] = []

    async def ask(urgency: Urgency, number: int) -> None:
        await budget.spend(10, urgency)
        order.append((urgency, number))

    asked = [(u, n) for n in (1, 2) for u in (Urgency.AUDIT, Urgency.HISTORY, Urgency.REPAIR, Urgency.BOOK)]
    tasks = [asyncio.create_task(ask(*one)) for one in asked]
    await asyncio.sleep(0)
    now[0] = WINDOW_S
    budget.told(0)
    await asyncio.gather(*tasks)
    assert order == sorted(asked)


async def test_who_no_longer_waits_holds_up_nobody() -> None:
    now = [0.0]
    budget = WeightBudget(LIMIT, now_s=lambda: now[0])
    await budget.spend(LIMIT, Urgency.AUDIT)
    gone = asyncio.create_task(budget.spend(LIMIT, Urgency.REPAIR))
    waits = asyncio.create_task(budget.spend(LIMIT, Urgency.AUDIT))
    await asyncio.sleep(0)
    gone.cancel()
    now[0] = WINDOW_S
    budget.told(0)
    await waits
    assert budget.meter.used(now[0]) == LIMIT
