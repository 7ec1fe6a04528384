from hypothesis import given
from hypothesis import strategies as st

from sources.replay.exchange.limits import LONGEST_BAN_S, Limits, RateMeter, Refusal, WeightLimiter

LIMITS = Limits(ping_every_s=20, pong_within_s=60, incoming_per_s=5, weight_per_minute=100, forgiven=2, ban_s=120)
NOON_S = 43_200.0


def test_weight_is_spent_until_the_minute_is_over() -> None:
    limiter = WeightLimiter(LIMITS)
    assert limiter.charge(60, NOON_S) is None
    assert limiter.charge(40, NOON_S + 10) is None
    assert limiter.used(NOON_S + 10) == 100
    assert limiter.charge(1, NOON_S + 10.5) == Refusal(429, 50)
    assert limiter.charge(1, NOON_S + 60) is None
    assert limiter.used(NOON_S + 60) == 1


def test_going_on_after_429_is_a_ban_and_the_next_ban_is_twice_as_long() -> None:
    limiter = WeightLimiter(LIMITS)
    statuses = [limiter.charge(101, NOON_S + second) for second in range(4)]
    assert statuses == [Refusal(429, 60), Refusal(429, 59), Refusal(418, 120), Refusal(418, 119)]
    assert limiter.charge(1, NOON_S + 121.5) == Refusal(418, 1)
    assert limiter.charge(1, NOON_S + 122) is None
    again = [limiter.charge(101, NOON_S + 180) for _ in range(3)]
    assert again[-1] == Refusal(418, 240)


def test_no_ban_is_longer_than_three_days() -> None:
    limiter = WeightLimiter(LIMITS)
    now_s, longest = NOON_S, 0
    for _ in range(20):
        refusal = [limiter.charge(101, now_s) for _ in range(3)][-1]
        assert refusal is not None
        longest = refusal.retry_after_s
        now_s += longest
    assert longest == LONGEST_BAN_S


@given(
    st.lists(st.integers(0, 24).map(lambda eighths: eighths / 8), min_size=1, max_size=60),
    st.integers(1, 6),
)
def test_no_window_of_a_rate_meter_holds_more_than_it_allows(pauses: list[float], most: int) -> None:
    meter = RateMeter(most=most, window_s=1.0)
    now_s, admitted = 0.0, list[float]()
    for pause in pauses:
        now_s += pause
        if meter.admits(now_s):
            admitted.append(now_s)
        else:
            assert sum(now_s - moment < 1.0 for moment in admitted) == most
    for moment in admitted:
        assert sum(moment <= other < moment + 1.0 for other in admitted) <= most
