"""The venue's time from heartbeats."""

from api.live.venue_time import VenueTime
from tests.fakes.candles import BEGIN


def test_time_goes_on_between_heartbeats_and_follows_them_in_both_directions() -> None:
    local = [100]
    time = VenueTime(lambda: local[0])
    assert time.now_ms == 0
    time.on_heartbeat(BEGIN)
    local[0] = 350
    assert (time.now_ms, time.silent_ms) == (BEGIN + 250, 250)
    time.on_heartbeat(BEGIN - 5_000)
    assert (time.now_ms, time.silent_ms) == (BEGIN - 5_000, 0)


def test_stamps_set_the_time_only_until_the_first_heartbeat() -> None:
    time = VenueTime(lambda: 0)
    time.on_stamp(BEGIN + 7)
    time.on_stamp(BEGIN)
    assert time.now_ms == BEGIN + 7
    time.on_heartbeat(BEGIN)
    time.on_stamp(BEGIN + 10**9)
    assert time.now_ms == BEGIN


def test_silence_is_counted_from_when_it_was_listened_for() -> None:
    local = [0]
    time = VenueTime(lambda: local[0])
    local[0] = 40
    assert (time.silent_ms, time.is_alive) == (40, False)
    time.on_heartbeat(BEGIN)
    assert time.is_alive
    local[0] = 100
    time.forget_heartbeat()
    local[0] = 130
    assert (time.silent_ms, time.is_alive, time.now_ms) == (30, False, BEGIN + 90)
