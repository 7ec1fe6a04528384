from sources.replay.exchange.keepalive import KeepAlive, Upkeep
from sources.replay.exchange.limits import SPOT_LIMITS, Limits

#  0        20        40        60        80
#  |--------P1--------P2--------P3--------X     unanswered: cut 60 s after P1


def test_an_unanswered_ping_ends_the_connection_a_minute_later() -> None:
    keep_alive = KeepAlive(SPOT_LIMITS, opened_s=0)
    assert keep_alive.next_s == 20
    assert keep_alive.due(19.9) is None
    for second in (20, 40, 60):
        assert keep_alive.due(second) is Upkeep.PING
        keep_alive.on_ping(b"%d" % second, second)
    assert keep_alive.due(79.9) is None
    assert keep_alive.next_s == 80
    assert keep_alive.due(80) is Upkeep.CUT


def test_an_echoed_pong_settles_its_ping_and_those_before() -> None:
    keep_alive = KeepAlive(SPOT_LIMITS, opened_s=0)
    for second in (20, 40, 60):
        keep_alive.on_ping(b"%d" % second, second)
    keep_alive.on_pong(b"40")
    assert keep_alive.due(80) is Upkeep.PING
    keep_alive.on_ping(b"80", 80)
    assert keep_alive.due(119.9) is Upkeep.PING
    assert keep_alive.due(120) is Upkeep.CUT


def test_a_pong_that_nobody_asked_for_keeps_nothing_alive() -> None:
    keep_alive = KeepAlive(SPOT_LIMITS, opened_s=0)
    keep_alive.on_ping(b"20", 20)
    keep_alive.on_pong(b"")
    keep_alive.on_pong(b"21")
    assert keep_alive.due(80) is Upkeep.CUT


def test_a_connection_ends_at_its_greatest_age() -> None:
    limits = Limits(ping_every_s=20, pong_within_s=60, incoming_per_s=5, weight_per_minute=1, life_s=30)
    keep_alive = KeepAlive(limits, opened_s=100)
    keep_alive.on_ping(b"120", 120)
    assert keep_alive.next_s == 130
    assert keep_alive.due(130) is Upkeep.EXPIRE
