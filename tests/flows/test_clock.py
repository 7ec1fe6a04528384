import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.clock import LEAP_MS, STEP_MS, WINDOW_MS, FeedClock, Now, Reading

BEGIN = 1_767_225_600_000


class Local:
    """A local clock, and a venue's clock on it."""

    def __init__(self) -> None:
        self.ms = 1_000
        self.clock = FeedClock(lambda: self.ms)

    def hear(self, exchange_time: int, *, after: int = 0) -> int:
        """Lets local time pass, observes, and gives the venue's time."""
        self.ms += after
        self.clock.observe(exchange_time)
        return self.clock.now().feed


def test_before_the_first_observation_no_deadline_has_passed() -> None:
    assert FeedClock(lambda: 77).now() == Now(0, 77)
    assert not FeedClock(lambda: 77).is_sure


def test_time_goes_on_with_the_monotonic_clock() -> None:
    local = Local()
    local.hear(BEGIN)
    local.ms += 30
    assert local.clock.now() == Now(BEGIN + 30, 1_030)


def test_the_least_delayed_message_decides() -> None:
    local = Local()
    local.hear(BEGIN)
    assert local.hear(BEGIN + 100 - 40, after=100) == BEGIN + 100  # 40 ms late
    assert local.hear(BEGIN + 200 + 15, after=100) == BEGIN + 215


@pytest.mark.parametrize("drift_ppm", [-100, -20, 20, 100, 500])
def test_a_clock_that_drifts_is_followed_in_both_directions(drift_ppm: int) -> None:
    local = Local()
    local.hear(BEGIN)
    for second in range(1, 3_600):
        true = BEGIN + second * 1_000
        local.ms = 1_000 + second * (1_000_000 + drift_ppm) // 1_000
        local.clock.observe(true - second % 7)  # up to 6 ms late
        behind = WINDOW_MS * abs(drift_ppm) // 1_000_000 + 7
        assert abs(local.clock.now().feed - true) <= behind, second


@given(st.integers(1, 10**15), st.lists(st.integers(0, 400), min_size=1))
def test_one_message_never_moves_the_clock(ahead: int, delays: list[int]) -> None:
    local = Local()
    local.hear(BEGIN)
    local.clock.observe(BEGIN + STEP_MS + ahead)
    assert local.clock.now().feed == BEGIN
    for number, delay in enumerate(delays, start=1):
        assert local.hear(BEGIN + number * 1_000 - delay, after=1_000) == BEGIN + number * 1_000


def test_a_step_forward_that_a_second_message_confirms_is_taken() -> None:
    local = Local()
    local.hear(BEGIN)
    local.clock.observe(BEGIN + 30_000)
    assert local.hear(BEGIN + 30_100, after=100) == BEGIN + 30_100


def test_it_can_be_set_anew_in_both_directions() -> None:
    local = Local()
    local.hear(BEGIN)
    local.clock.set_to(BEGIN + 86_400_000)
    assert local.clock.now().feed == BEGIN + 86_400_000
    local.clock.set_to(BEGIN + 1_000)
    assert local.clock.now().feed == BEGIN + 1_000


@pytest.mark.parametrize("leap", [LEAP_MS + 1, 3_600_000])
def test_behind_a_leap_of_the_local_clock_time_stands_still_until_a_message_comes(leap: int) -> None:
    local = Local()
    local.clock.tick(local.ms)
    local.hear(BEGIN)
    local.ms += 1_000
    local.clock.tick(local.ms)
    local.ms += leap
    assert local.clock.now().feed == BEGIN + 1_000
    assert local.clock.carried() == Now(BEGIN + local.ms - 1_000, local.ms), "what people read goes on"
    assert not local.clock.is_sure
    local.clock.tick(local.ms)
    local.ms += 500
    local.clock.tick(local.ms)
    assert local.clock.now().feed == BEGIN + 1_000
    assert local.hear(BEGIN + 1_500) == BEGIN + 1_500  # the local clock was set; the venue's was not
    assert local.clock.is_sure
    local.ms += 100
    assert local.clock.now().feed == BEGIN + 1_600


def test_a_process_that_ticks_is_sure_however_long_nothing_is_observed() -> None:
    local = Local()
    local.hear(BEGIN)
    for _ in range(200):
        local.ms += 500
        local.clock.tick(local.ms)
    assert local.clock.is_sure
    assert local.clock.now().feed == BEGIN + 100_000


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(-2_000, STEP_MS)), max_size=200))
def test_it_is_never_behind_what_came_in_the_window_and_remembers_little(steps: list[tuple[int, int]]) -> None:
    local = Local()
    local.hear(BEGIN)
    seen = [(local.ms, BEGIN - local.ms)]
    for step, jitter in steps:
        local.ms += step
        offset = min(jitter + seen[0][1], max(o for t, o in seen) + STEP_MS)
        local.clock.observe(local.ms + offset)
        seen.append((local.ms, offset))
        newest = max(o for t, o in seen if t >= local.ms - WINDOW_MS)
        assert local.clock.now().feed - local.ms >= newest
    assert len(local.clock._offsets) <= WINDOW_MS // 1_000 + 2


class Guarded(Local):
    """The same, with a clock that falls far only when that is believed."""

    def __init__(self) -> None:
        super().__init__()
        self.clock.guard()

    def late(self, seconds: int, by_ms: int) -> int:
        """So many seconds of messages that are late; gives how far the venue's time is from the true one."""
        for _ in range(seconds):
            self.hear(BEGIN + self.ms - 1_000 + 1_000 - by_ms, after=1_000)
        return self.clock.now().feed - (BEGIN + self.ms - 1_000)


def test_a_guarded_clock_stays_when_all_its_messages_are_late_until_that_is_believed() -> None:
    local = Guarded()
    local.late(70, 0)
    assert local.late(WINDOW_MS // 1_000 - 1, 8_000) == 0
    assert not local.clock.is_ahead
    assert local.late(3_600, 8_000) == 0
    assert local.clock.is_ahead
    local.clock.believe(local.clock.said_offset)
    assert (local.late(1, 8_000), local.clock.is_ahead) == (-8_000, False)


def test_a_guarded_clock_does_not_follow_a_delay_that_grows_little_by_little() -> None:
    local = Guarded()
    for minute in range(60):
        local.late(70, 300 * minute)
    assert local.late(1, 18_000) >= -STEP_MS
    assert local.late(70, 100) == -100
    assert not local.clock.is_ahead


def test_a_guarded_clock_falls_a_little_by_itself_and_can_be_brought_forward() -> None:
    local = Guarded()
    assert local.late(70, 0) == 0
    assert local.late(70, STEP_MS) == -STEP_MS
    local.clock.believe(local.clock.offset + 9_000)
    assert local.clock.is_ahead
    assert local.late(1, STEP_MS) == 9_000 - STEP_MS


def test_a_guarded_clock_begins_anew_behind_a_leap() -> None:
    local = Guarded()
    local.clock.tick(local.ms)
    local.late(3, 0)
    assert local.clock.begins == 1
    local.clock.tick(local.ms)
    local.ms += LEAP_MS + 1
    assert local.hear(BEGIN + 4_000) == BEGIN + 4_000
    assert (local.clock.begins, local.clock.is_ahead) == (2, False)


class Cluster:
    """The clock of the process that observes the venue, and that of another one, whose local time has another zero."""

    def __init__(self) -> None:
        self.ms = 0
        self.source = FeedClock(lambda: self.ms)
        self.other = FeedClock(lambda: self.ms + 5_000_000)

    def deliver(self, reading: Reading) -> int:
        """Takes a reading and gives how far the other clock is ahead of the one that is observed."""
        self.other.follow(reading)
        return self.other.now().feed - self.source.now().feed


def test_a_clock_that_observes_nothing_follows_the_one_that_does() -> None:
    cluster = Cluster()
    assert cluster.deliver(cluster.source.reading()) == 0
    assert not cluster.other.is_sure
    cluster.source.observe(BEGIN)
    assert cluster.deliver(cluster.source.reading()) == 0
    assert cluster.other.is_sure
    cluster.ms += 30_000  # without a message both go on
    assert cluster.other.now().feed == BEGIN + 30_000
    for later in (90_000, 91_000):  # one reading suffices, however far it is
        cluster.source.observe(BEGIN + later)
    assert cluster.deliver(cluster.source.reading()) == 0


def test_it_goes_back_with_the_one_that_it_follows() -> None:
    cluster = Cluster()
    cluster.source.observe(BEGIN)
    cluster.deliver(cluster.source.reading())
    cluster.source.set_to(BEGIN - 3_600_000)
    assert cluster.deliver(cluster.source.reading()) == 0
    cluster.source.guard()
    cluster.source.believe(cluster.source.offset - 2_000)
    cluster.ms += WINDOW_MS + 1_000
    assert cluster.deliver(cluster.source.reading()) == 0


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 3_000)), min_size=1, max_size=80))
def test_what_is_late_on_the_way_never_puts_it_ahead(steps: list[tuple[int, int]]) -> None:
    """Between processes a reading is delayed by any time, and readings may overtake each other."""
    cluster = Cluster()
    cluster.source.observe(BEGIN)
    sent: list[tuple[int, Reading]] = []
    for pause, delay in steps:
        cluster.ms += pause
        sent.append((cluster.ms + delay, cluster.source.reading()))
        for due, reading in [one for one in sent if one[0] <= cluster.ms]:
            sent.remove((due, reading))
            ahead = cluster.deliver(reading)
            assert -3_000 - 5_000 <= ahead <= 0


def test_a_clock_that_follows_tells_no_other_one() -> None:
    cluster = Cluster()
    cluster.source.observe(BEGIN)
    cluster.deliver(cluster.source.reading())
    assert cluster.other.reading()[0] == 0
