import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.queries import Urgency
from sources.rest.rate_limit import WINDOW_S, RateLimitedError, RateLimiter, WeightCounter

LIMIT = 100


def answered(counter: WeightCounter, weight: int, now_s: float, server_used: int | None = None) -> None:
    """A request whose answer takes no time."""
    counter.acquire(weight)
    counter.settle(weight, now_s, server_used=server_used)


def test_what_was_spent_counts_for_a_minute() -> None:
    counter = WeightCounter(LIMIT)
    answered(counter, 60, 0.0)
    answered(counter, 40, 10.0)
    assert (counter.used(10.0), counter.wait_s(1, 10.0)) == (100, 50.0)
    assert (counter.used(60.0), counter.wait_s(60, 60.0), counter.wait_s(61, 60.0)) == (40, 0.0, 10.0)


def test_a_window_may_be_another_one_than_a_minute() -> None:
    counter = WeightCounter(8, window_s=1.0)
    answered(counter, 8, 5.0)
    assert (counter.wait_s(1, 5.0), counter.wait_s(1, 5.75), counter.wait_s(8, 6.0)) == (1.0, 0.25, 0.0)
    counter.acquire(8)
    assert counter.wait_s(1, 6.0) == 1.0


def test_a_slow_request_counts_until_a_minute_after_its_answer() -> None:
    counter = WeightCounter(LIMIT)
    counter.acquire(70)
    assert (counter.used(65.0), counter.wait_s(30, 65.0), counter.wait_s(31, 65.0)) == (70, 0.0, WINDOW_S)
    counter.settle(70, 70.0)
    assert (counter.used(129.0), counter.used(130.0)) == (70, 0)


def test_what_did_not_go_out_does_not_count() -> None:
    counter = WeightCounter(LIMIT)
    counter.acquire(70)
    counter.release(70)
    assert counter.used(0.0) == 0


def test_what_the_venue_says_is_the_truth() -> None:
    counter = WeightCounter(LIMIT)
    answered(counter, 10, 1.0, server_used=95)  # somebody else on this address
    assert (counter.used(1.0), counter.wait_s(5, 1.0), counter.wait_s(6, 1.0)) == (95, 0.0, 60.0)
    counter.acquire(3)  # not among what the next answer has counted
    answered(counter, 1, 2.0, server_used=96)
    assert counter.used(2.0) == 99
    counter.settle(3, 3.0)
    assert counter.used(3.0) == 99
    answered(counter, 1, 4.0, server_used=1)  # its minute is over; what we spent still counts for ours
    assert counter.used(4.0) == 15


def test_refusals_for_their_number_are_counted() -> None:
    limiter = RateLimiter(LIMIT, most_under_way=1, now_s=lambda: 0.0)
    limiter.ban(7.0)
    limiter.ban(3.0)
    assert (limiter.bans, limiter.banned_for_s) == (2, 7.0)


def test_a_venue_that_wants_to_be_left_alone_is() -> None:
    counter = WeightCounter(LIMIT)
    counter.ban(7.0, 1.0)
    assert counter.wait_s(1, 2.0) == 6.0
    assert counter.wait_s(1, 8.0) == 0.0


def test_a_request_heavier_than_the_limit_goes_alone() -> None:
    counter = WeightCounter(LIMIT)
    assert counter.wait_s(500, 0.0) == 0.0
    answered(counter, 1, 0.0)
    assert counter.wait_s(500, 0.0) == WINDOW_S


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
    counter = WeightCounter(LIMIT)
    now, minutes = 0.0, dict[int, int]()
    open_requests: list[tuple[float, int, int | None]] = []

    def go_to(time_s: float) -> None:
        nonlocal now
        for request in sorted(open_requests, key=lambda one: one[0]):
            if request[0] <= time_s:
                open_requests.remove(request)
                counter.settle(request[1], request[0], server_used=request[2])
        now = time_s

    for weight, pause, latency, counted_at, server_used in requests:
        go_to(now + pause)
        for _ in range(300):
            wait = counter.wait_s(weight, now)
            if not wait:
                break
            go_to(min([now + wait, *(at for at, _, _ in open_requests)]))
        assert not counter.wait_s(weight, now)
        counter.acquire(weight)
        open_requests.append((now + latency, weight, server_used))
        minute = int((now + latency * counted_at + phase_s) // WINDOW_S)
        minutes[minute] = minutes.get(minute, 0) + weight
    assert max(minutes.values(), default=0) <= LIMIT


def limiter_of(now: list[float], most_under_way: int = 100) -> RateLimiter:
    return RateLimiter(LIMIT, most_under_way=most_under_way, now_s=lambda: now[0])


async def acquire(rate_limit: RateLimiter, weight: int, urgency: Urgency, until: asyncio.Event | None = None) -> None:
    """A request that is answered when the event is set, or at once."""
    async with rate_limit.acquire(weight, urgency) as permit:
        permit.is_sent = True
        if until:
            await until.wait()


ASKED = [(u, n) for n in (1, 2) for u in (Urgency.AUDIT, Urgency.HISTORY, Urgency.REPAIR, Urgency.BOOK)]


async def test_the_most_urgent_goes_first_when_there_is_weight_again() -> None:
    now = [0.0]
    rate_limit = limiter_of(now)
    await acquire(rate_limit, LIMIT, Urgency.AUDIT)
    order: list[tuple[Urgency, int]] = []

    async def query(urgency: Urgency, number: int) -> None:
        await acquire(rate_limit, 10, urgency)
        order.append((urgency, number))

    tasks = [asyncio.create_task(query(*one)) for one in ASKED]
    await asyncio.sleep(0)
    now[0] = WINDOW_S
    await acquire(rate_limit, 10, Urgency.REPAIR)
    await asyncio.gather(*tasks)
    assert order == sorted(ASKED)


async def test_the_most_urgent_goes_first_when_an_answer_makes_room() -> None:
    rate_limit = limiter_of([0.0], most_under_way=1)
    answer = asyncio.Event()
    first = asyncio.create_task(acquire(rate_limit, 1, Urgency.AUDIT, answer))
    await asyncio.sleep(0)
    order: list[tuple[Urgency, int]] = []
    under_way = 0

    async def query(urgency: Urgency, number: int) -> None:
        nonlocal under_way
        async with rate_limit.acquire(1, urgency):
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
    rate_limit = limiter_of(now)
    await acquire(rate_limit, LIMIT, Urgency.AUDIT)
    gone = asyncio.create_task(acquire(rate_limit, LIMIT, Urgency.REPAIR))
    waits = asyncio.create_task(acquire(rate_limit, LIMIT, Urgency.AUDIT))
    await asyncio.sleep(0)
    gone.cancel()
    now[0] = WINDOW_S
    await asyncio.wait([gone])
    hurries = asyncio.create_task(acquire(rate_limit, 0, Urgency.REPAIR))
    await asyncio.gather(waits, hurries)
    assert rate_limit.used == LIMIT


async def test_a_turn_that_comes_as_it_is_given_up_is_returned() -> None:
    rate_limit = limiter_of([0.0], most_under_way=1)
    async with rate_limit.acquire(1, Urgency.AUDIT):
        gone = asyncio.create_task(acquire(rate_limit, 50, Urgency.AUDIT))
        await asyncio.sleep(0)
    gone.cancel()  # its turn has come, and it does not know yet
    await asyncio.wait([gone])
    assert (gone.cancelled(), rate_limit.used) == (True, 0)
    await acquire(rate_limit, 2, Urgency.AUDIT)
    assert rate_limit.used == 2


async def test_nobody_waits_for_a_venue_that_is_banned_for_long() -> None:
    now = [0.0]
    rate_limit = limiter_of(now)
    await acquire(rate_limit, LIMIT, Urgency.AUDIT)
    waits = asyncio.create_task(acquire(rate_limit, 1, Urgency.REPAIR))
    await asyncio.sleep(0)
    rate_limit.ban(120.0)
    with pytest.raises(RateLimitedError, match="another 120 s"):
        await waits
    with pytest.raises(RateLimitedError):
        await acquire(rate_limit, 1, Urgency.REPAIR)
    now[0] = 120.0
    await acquire(rate_limit, 1, Urgency.REPAIR)
