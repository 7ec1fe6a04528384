"""The order in which processes are ended."""

import signal

from flows.supervision.stopping import KILL_S, NEXT_S, signals_due

NAMES = ("mongod", "flow", "api")
TERM, KILL = signal.SIGTERM, signal.SIGKILL


def test_the_last_one_first() -> None:
    assert signals_due(NAMES, {}, begun_s=5.0, now_s=5.0) == [("api", TERM)]


def test_the_next_one_when_it_has_ended() -> None:
    assert signals_due(NAMES, {"api": 5.0}, begun_s=5.0, now_s=5.1) == []
    assert signals_due(NAMES[:2], {"api": 5.0}, begun_s=5.0, now_s=5.1) == [("flow", TERM)]


def test_the_next_one_also_when_it_takes_long() -> None:
    assert signals_due(NAMES, {"api": 5.0}, begun_s=5.0, now_s=5.0 + NEXT_S) == [("flow", TERM)]
    asked = {"api": 5.0, "flow": 5.0 + NEXT_S}
    assert signals_due(NAMES, asked, begun_s=5.0, now_s=5.0 + NEXT_S) == []
    assert signals_due(NAMES, asked, begun_s=5.0, now_s=5.0 + 2 * NEXT_S) == [("mongod", TERM)]


def test_what_hangs_is_killed() -> None:
    asked = {"api": 5.0, "flow": 5.5, "mongod": 6.0}
    assert signals_due(("mongod", "api"), asked, begun_s=5.0, now_s=5.0 + KILL_S) == [("api", KILL), ("mongod", KILL)]
    assert signals_due((), asked, begun_s=5.0, now_s=5.0 + KILL_S) == []


def test_everything_is_asked_before_anything_is_killed() -> None:
    assert len(("exchange", *NAMES)) * NEXT_S < KILL_S
