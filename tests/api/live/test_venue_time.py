"""The venue's time from heartbeats."""

from hypothesis import given
from hypothesis import strategies as st

from api.live.venue_time import LONGEST_TICK_MS, SET_BACK_MS, VenueTime
from tests.fakes.candles import BEGIN

MINUTE_MS = 60_000


class Listener:
    """The venue's time, with a local clock that starts at 0 and goes as the venue's, which starts at `BEGIN`."""

    def __init__(self) -> None:
        self.local = 0
        self.time = VenueTime(lambda: self.local)

    @property
    def true_ms(self) -> int:
        return BEGIN + self.local

    def beat(self, late_ms: int = 0, *, is_sure: bool = True) -> None:
        """A heartbeat that was made so long ago."""
        self.time.on_heartbeat(self.true_ms - late_ms, is_sure=is_sure)


def test_time_goes_on_between_heartbeats() -> None:
    listener = Listener()
    assert listener.time.now_ms == 0
    listener.beat()
    listener.local = 350
    assert (listener.time.now_ms, listener.time.silent_ms) == (BEGIN + 350, 350)


def test_a_venue_that_is_set_forward_is_followed_at_once_and_back_when_all_heartbeats_say_so() -> None:
    listener = Listener()
    listener.beat()
    listener.beat(-5_000)
    assert listener.time.now_ms == listener.true_ms + 5_000
    for _ in range(SET_BACK_MS // 1_000):
        listener.beat()
        assert listener.time.now_ms == listener.true_ms + 5_000
        listener.local += 1_000
    listener.beat()
    assert listener.time.now_ms == listener.true_ms


def test_heartbeats_that_waited_while_this_process_was_halted_make_nothing_younger() -> None:
    listener = Listener()
    listener.beat()
    listener.local += 9_000
    for late_ms in range(9_000, 0, -1_000):
        listener.beat(late_ms)
        assert listener.time.now_ms == listener.true_ms
    for _ in range(3):
        listener.local += 1_000
        listener.beat()
        assert listener.time.now_ms == listener.true_ms


def test_time_goes_on_while_the_flow_is_unsure_of_it() -> None:
    listener = Listener()
    listener.beat()
    assert listener.time.is_sure
    listener.local += 9_000  # the flow was halted
    for second in range(50):
        listener.time.on_heartbeat(BEGIN + second % 3, is_sure=False)
        assert (listener.time.now_ms, listener.time.is_sure) == (listener.true_ms, False)
        listener.local += 1_000
    listener.beat()
    assert (listener.time.now_ms, listener.time.is_sure) == (listener.true_ms, True)


def test_a_flow_that_is_new_is_believed_whatever_the_old_one_said() -> None:
    listener = Listener()
    listener.beat(-MINUTE_MS)
    listener.time.forget_heartbeat()
    assert listener.time.now_ms == listener.true_ms + MINUTE_MS
    listener.beat(10, is_sure=False)
    assert listener.time.now_ms == listener.true_ms + MINUTE_MS
    listener.beat()
    assert listener.time.now_ms == listener.true_ms


def test_stamps_set_the_time_only_until_the_first_heartbeat() -> None:
    time = VenueTime(lambda: 0)
    time.on_stamp(BEGIN + 7)
    time.on_stamp(BEGIN)
    assert time.now_ms == BEGIN + 7
    time.on_heartbeat(BEGIN)
    time.on_stamp(BEGIN + 10**9)
    assert time.now_ms == BEGIN


def test_silence_is_counted_from_when_it_was_listened_for() -> None:
    listener = Listener()
    listener.local = 40
    assert (listener.time.silent_ms, listener.time.is_alive, listener.time.is_sure) == (40, False, False)
    listener.beat()
    assert listener.time.is_alive
    listener.local = 100
    listener.time.forget_heartbeat()
    listener.local = 130
    assert (listener.time.silent_ms, listener.time.is_alive, listener.time.now_ms) == (30, False, BEGIN + 130)
    listener.time.on_heartbeat(0)
    assert (listener.time.is_alive, listener.time.is_sure) == (True, False)


PAUSES = st.integers(0, 12_000)
LATE = st.integers(-MINUTE_MS, 10 * MINUTE_MS)


@given(st.booleans(), st.lists(st.tuples(PAUSES, LATE)))
def test_ages_never_shrink_whatever_unsure_heartbeats_say(begins_sure: bool, heartbeats: list[tuple[int, int]]) -> None:
    listener = Listener()
    listener.beat(is_sure=begins_sure)
    for pause_ms, late_ms in heartbeats:
        before = listener.time.now_ms
        listener.local += pause_ms
        listener.beat(late_ms, is_sure=False)
        assert listener.time.now_ms >= before + pause_ms
        assert listener.time.now_ms >= listener.true_ms


@given(st.lists(st.tuples(PAUSES, st.lists(st.tuples(st.integers(0, 10 * MINUTE_MS), st.booleans())))))
def test_ages_are_true_whenever_this_process_and_the_flow_are_halted(
    bursts: list[tuple[int, list[tuple[int, bool]]]],
) -> None:
    """Each burst is what waited meanwhile, in any order, some of it unsure, and a heartbeat of now."""
    listener = Listener()
    listener.beat()
    for pause_ms, waited in bursts:
        listener.local += pause_ms
        for late_ms, is_sure in waited:
            listener.beat(late_ms, is_sure=is_sure)
            assert listener.time.now_ms == listener.true_ms
        listener.beat()
        assert listener.time.now_ms == listener.true_ms


def test_a_halt_of_this_process_is_no_silence_of_the_flow() -> None:
    listener = Listener()
    listener.beat()
    for listener.local in range(0, 1_001, 200):
        listener.time.tick()
    assert listener.time.silent_ms == 1_000
    listener.local = 61_000
    assert listener.time.silent_ms == 1_000 + LONGEST_TICK_MS  # an answer may be given before the next tick
    listener.time.tick()
    assert listener.time.silent_ms == 1_000 + LONGEST_TICK_MS
    assert listener.time.now_ms == listener.true_ms
    listener.local += 200
    assert listener.time.silent_ms == 1_200 + LONGEST_TICK_MS
    listener.beat()
    assert listener.time.silent_ms == 0
    listener.time.tick()
    listener.local += 300
    assert listener.time.silent_ms == 300


@given(st.lists(st.tuples(st.integers(0, 5_000), st.sampled_from(["tick", "beat", "forget", ""])), max_size=30))
def test_silence_is_never_negative_nor_longer_than_it_was(steps: list[tuple[int, str]]) -> None:
    listener, since = Listener(), 0
    for passed, what in steps:
        listener.local += passed
        if what == "tick":
            listener.time.tick()
        elif what:
            since = listener.local
            listener.beat() if what == "beat" else listener.time.forget_heartbeat()
        assert 0 <= listener.time.silent_ms <= listener.local - since
