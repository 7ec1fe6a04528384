"""Once a day, in a process of its own, and never longer than the flow."""

import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from flows.lake.night import LakeNight, next_time
from flows.model import Incident

NOW = datetime(2026, 1, 31, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("00:31", NOW.replace(minute=31)),
        ("00:30", NOW + timedelta(days=1)),
        ("00:05", datetime(2026, 2, 1, 0, 5, tzinfo=UTC)),
    ],
)
def test_the_next_time_is_later(at: str, expected: datetime) -> None:
    assert next_time(at, NOW) == expected


def night(code: str, said: list[Incident], stop: threading.Event) -> LakeNight:
    command = sys.executable, "-c", code
    return LakeNight("00:31", stop=stop, report=said.append, venue="binance", command=command)


def test_a_run_is_a_line_of_the_log_and_one_that_fails_an_incident() -> None:
    said: list[Incident] = []
    stop = threading.Event()
    with capture_logs() as logs:
        night("import sys; print('marketflow: two days', file=sys.stderr)", said, stop).update()
        assert ([(one["event"], one["result"]) for one in logs], said) == ([("lake_updated", "two days")], [])
        night("import sys; sys.exit('marketflow: no room')", said, stop).update()
    assert (logs[-1]["event"], logs[-1]["reason"], logs[-1]["code"]) == ("lake_not_updated", "no room", 1)
    [incident] = said
    assert (incident.kind, incident.venue) == ("store_outage", "binance")
    assert incident.cause == "the lake was not brought up to date: no room"


def test_it_ends_with_the_flow() -> None:
    said: list[Incident] = []
    stop = threading.Event()
    running = night("import time; time.sleep(600)", said, stop)
    thread = threading.Thread(target=running.update)
    thread.start()
    stop.set()
    thread.join()
    assert said == []


def test_it_starts_at_its_time_and_again_a_day_later() -> None:
    times = [NOW, NOW, NOW + timedelta(minutes=1), NOW + timedelta(minutes=2), NOW + timedelta(days=1, minutes=1)]
    stop, ran = threading.Event(), threading.Event()
    moments = iter(times)
    count = 0

    class Counted(LakeNight):
        def update(self) -> None:
            nonlocal count
            count += 1
            ran.set()
            if count == 2:
                stop.set()

    last = times[-1]
    counted = Counted("00:31", stop=stop, report=lambda _: None, venue="binance", now=lambda: next(moments, last))
    counted.start()
    counted._thread.join()
    assert (count, ran.is_set()) == (2, True)
