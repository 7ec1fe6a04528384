import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.queries import Urgency
from sources.rest.rate_limit import WINDOW_S, RateLimitedError, WeightBudget, WeightMeter

LIMIT = 100


def answered(meter: WeightMeter, weight: int, now_s: float, told: int | None = None) -> None:
    """A request whose answer takes no time."""
    meter.spend(weight)
    meter.settle(weight, now_s, told=told)


def test_what_was_spent_counts_for_a_minute() -> None:
    meter = WeightMeter(LIMIT)
    answered(meter, 60, 0.0)
    answered(meter, 40, 10.0)
    assert (meter.used(10.0), meter.wait_s(1, 10.0)) == (100, 50.0)
    assert (meter.used(60.0), meter.wait_s(60, 60.0), meter.wait_s(61, 60.0)) == (40, 0.0, 10.0)


def test_a_slow_request_counts_until_a_minute_after_its_answer() -> None:
    meter = WeightMeter(LIMIT)
    meter.spend(70)
    assert (meter.used(65.0), meter.wait_s(30, 65.0), meter.wait_s(31, 65.0)) == (70, 0.0, WINDOW_S)
    meter.settle(70, 70.0)
    assert (meter.used(129.0), meter.used(130.0)) == (70, 0)


def test_what_did_not_go_out_does_not_count() -> None:
    meter = WeightMeter(LIMIT)
    meter.spend(70)
    meter.return_unspent(70)
    assert meter.used(0.0) == 0


def test_what_the_venue_says_is_the_truth() -> None:
    meter = WeightMeter(LIMIT)
    answered(meter, 10, 1.0, told=95)  # somebody else on this address
    assert (meter.used(1.0), meter.wait_s(5, 1.0), meter.wait_s(6, 1.0)) == (95, 0.0, 60.0)
    meter.spend(3)  # not among what the next answer has counted
    answered(meter, 1, 2.0, told=96)
    assert meter.used(2.0) == 99
    meter.settle(3, 3.0)
    assert meter.used(3.0) == 99
    answered(meter, 1, 4.0, told=1)  # its minute is over; what we spent still counts for ours
    assert meter.used(4.0) == 15


def test_a_venue_that_wants_to_be_left_alone_is() -> None:
    meter = WeightMeter(LIMIT)
    meter.hold(7.0, 1.0)
    assert meter.wait_s(1, 2.0) == 6.0
    assert meter.wait_s(1, 8.0) == 0.0


def test_a_request_heavier_than_the_limit_goes_alone() -> None:
    meter = WeightMeter(LIMIT)
    assert meter.wait_s(500, 0.0) == 0.0
    answered(meter, 1, 0.0)
    assert meter.wait_s(500, 0.0) == WINDOW_S


@given(
    st.lists(
        st.tuples(
            st.integers(1, LIMIT),
            st.floats(0, 30),
            st.floats(0, 45),
            st.floats(0, 1),
            st.one_of(st.none(), st.integers(0, LIMIT)),
        ),
        max_size=60,
    ),
    st.floats(0, WINDOW_S),
)
def test_no_minute_of_any_clock_ever_passes_the_limit(
    requests: list[tuple[int, float, float, float, int | None]], phase_s: float
) -> None:
    """However long the answers take, whenever in between the venue counts, and whatever it says."""
    meter = WeightMeter(LIMIT)
    now, minutes = 0.0, dict[int, int]()
    open_requests: list[tuple[float, int, int | None]] = []

    def go_to(time_s: float) -> None:
        nonlocal now
        for request in sorted(open_requests, key=lambda one: one[0]):
            if request[0] <= time_s:
                open_requests.remove(request)
                meter.settle(request[1], request[0], told=request[2])
        now = time_s

    for weight, pause, latency, counted_at, told in requests:
        go_to(now + pause)
        for _ in range(300):
            wait = meter.wait_s(weight, now)
            if not wait:
                break
            go_to(min([now + wait, *(at for at, _, _ in open_requests)]))
        assert not meter.wait_s(weight, now)
        meter.spend(weight)
        open_requests.append((now + latency, weight, told))
        minute = int((now + latency * counted_at + phase_s) // WINDOW_S)
        minutes[minute] = minutes.get(minute, 0) + weight
    assert max(minutes.values(), default=0) <= LIMIT


def budget_of(now: list[float], most_under_way: int = 100) -> WeightBudget:
    return WeightBudget(LIMIT, most_under_way=most_under_way, now_s=lambda: now[0])


async def spend(budget: WeightBudget, weight: int, urgency: Urgency, until: asyncio.Event | None = None) -> None:
    """A request that is answered when the event is set, or at once."""
    async with budget.spend(weight, urgency) as spending:
        spending.is_sent = True
        if until:
            await until.wait()


ASKED = [(u, n) for n in (1, 2) for u in (Urgency.AUDIT, Urgency.HISTORY, Urgency.REPAIR, Urgency.BOOK)]


async def test_the_most_urgent_goes_first_when_there_is_weight_again() -> None:
    now = [0.0]
    budget = budget_of(now)
    await spend(budget, LIMIT, Urgency.AUDIT)
    order: list[tuple[Urgency, int]] = []

    async def query(urgency: Urgency, number: int) -> None:
        await spend(budget, 10, urgency)
        order.append((urgency, number))

    tasks = [asyncio.create_task(query(*one)) for one in ASKED]
    await asyncio.sleep(0)
    now[0] = WINDOW_S
    await spend(budget, 10, Urgency.REPAIR)
    await asyncio.gather(*tasks)
    assert order == sorted(ASKED)


async def test_the_most_urgent_goes_first_when_an_answer_makes_room() -> None:
    budget = budget_of([0.0], most_under_way=1)
    answer = asyncio.Event()
    first = asyncio.create_task(spend(budget, 1, Urgency.AUDIT, answer))
    await asyncio.sleep(0)
    order: list[tuple[Urgency, int]] = []
    under_way = 0

    async def query(urgency: Urgency, number: int) -> None:
        nonlocal under_way
        async with budget.spend(1, urgency):
            under_way += 1
            assert under_way == 1
            await asyncio.sleep(0)
            order.append((urgency, number))
            under_way -= 1

    tasks = [asyncio.create_task(query(*one)) for one in ASKED]
    await asyncio.sleep(0)
    assert order == []
    answer.set()
    await asyncio.gather(first, *tasks)
    assert order == sorted(ASKED)


async def test_who_no_longer_waits_holds_up_nobody() -> None:
    now = [0.0]
    budget = budget_of(now)
    await spend(budget, LIMIT, Urgency.AUDIT)
    gone = asyncio.create_task(spend(budget, LIMIT, Urgency.REPAIR))
    waits = asyncio.create_task(spend(budget, LIMIT, Urgency.AUDIT))
    await asyncio.sleep(0)
    gone.cancel()
    now[0] = WINDOW_S
    await asyncio.wait([gone])
    hurries = asyncio.create_task(spend(budget, 0, Urgency.REPAIR))
    await asyncio.gather(waits, hurries)
    assert budget.used == LIMIT


async def test_a_turn_that_comes_as_it_is_given_up_is_returned() -> None:
    budget = budget_of([0.0], most_under_way=1)
    async with budget.spend(1, Urgency.AUDIT):
        gone = asyncio.create_task(spend(budget, 50, Urgency.AUDIT))
        await asyncio.sleep(0)
    gone.cancel()  # its turn has come, and it does not know yet
    await asyncio.wait([gone])
    assert (gone.cancelled(), budget.used) == (True, 0)
    await spend(budget, 2, Urgency.AUDIT)
    assert budget.used == 2


async def test_nobody_waits_for_a_venue_that_is_banned_for_long() -> None:
    now = [0.0]
    budget = budget_of(now)
    await spend(budget, LIMIT, Urgency.AUDIT)
    waits = asyncio.create_task(spend(budget, 1, Urgency.REPAIR))
    await asyncio.sleep(0)
    budget.hold(120.0)
    with pytest.raises(RateLimitedError, match="another 120 s"):
        await waits
    with pytest.raises(RateLimitedError):
        await spend(budget, 1, Urgency.REPAIR)
    now[0] = 120.0
    await spend(budget, 1, Urgency.REPAIR)
