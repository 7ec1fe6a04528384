from collections.abc import Callable

from structlog.testing import capture_logs

from flows.clock import monotonic_ms, wall_ms
from flows.model import Incident
from sinks.buffered.outage import OnIncident, OutageWatch, StoreNames
from tests.fakes.candles import BEGIN


class Recorder:
    """A watch with a clock in the hand, and what it reported."""

    def __init__(self) -> None:
        self.local_ms = 1_000
        self.incidents: list[Incident] = []
        self.watch = watch(self.incidents.append, lambda: self.local_ms)


def watch(on_incident: OnIncident, local_ms: Callable[[], int] = monotonic_ms) -> OutageWatch:
    return OutageWatch(StoreNames("candles", "the server", "binance"), on_incident=on_incident, local_ms=local_ms)


def test_an_outage_has_a_begin_and_an_end_in_the_feeds_time() -> None:
    made = Recorder()
    made.watch.on_feed_time(BEGIN)
    made.watch.on_failure("connection refused", held=3)
    made.watch.on_feed_time(BEGIN + 300_000)
    made.watch.on_feed_time(BEGIN + 240_000)
    made.watch.on_failure("connection refused", held=9)
    made.local_ms += 2_500
    assert made.watch.on_success()
    assert not made.watch.on_success()
    begin, end = BEGIN, BEGIN + 300_000
    assert made.incidents == [
        Incident("store_outage", "binance", "", begin, begin, "connection refused", "held back, trying again"),
        Incident(
            "store_outage",
            "binance",
            "",
            begin,
            end,
            "the server takes candles again",
            "storing what was held, after 2.5 s and 2 failed attempts",
        ),
    ]


def test_the_log_says_it_once_and_then_every_minute() -> None:
    made = Recorder()
    with capture_logs() as logs:
        for _ in range(130):
            made.watch.on_failure("connection refused", held=7)
            made.local_ms += 1_000
        made.watch.on_success()
    assert [(entry["event"], entry["log_level"], entry.get("failures")) for entry in logs] == [
        ("store_unavailable", "error", None),
        ("store_still_unavailable", "error", 61),
        ("store_still_unavailable", "error", 121),
        ("store_available_again", "info", 130),
    ]


def test_there_is_a_pause_only_in_an_outage() -> None:
    outages = Recorder().watch
    assert outages.pause_s == 0.0
    outages.on_failure("away", held=0)
    assert 0.125 <= outages.pause_s <= 0.25
    outages.on_success()
    assert outages.pause_s == 0.0


def test_the_cause_is_known_while_it_lasts() -> None:
    outages = Recorder().watch
    assert outages.cause == ""
    for cause in ("refused", "no answer"):
        outages.on_failure(cause, held=0)
        assert outages.cause == cause
    outages.on_success()
    assert outages.cause == ""


def test_what_else_is_amiss_is_an_incident_of_the_feeds_present() -> None:
    made = Recorder()
    made.watch.on_feed_time(BEGIN)
    made.watch.report("a log is gone", "fetched again", symbol="ETHUSDT", first_id=5, last_id=9)
    assert made.incidents == [
        Incident("store_outage", "binance", "ETHUSDT", BEGIN, BEGIN, "a log is gone", "fetched again", 5, 9)
    ]


def test_before_the_first_candle_the_wall_clock_tells_the_time() -> None:
    made = Recorder()
    before = wall_ms()
    made.watch.on_failure("away", held=0)
    [outage] = made.incidents
    assert before <= outage.begin <= outage.end <= wall_ms()


def test_a_listener_that_fails_is_logged() -> None:
    def fail(_: Incident) -> None:
        raise RuntimeError("no")

    with capture_logs() as logs:
        watch(fail).on_failure("away", held=0)
    assert [entry["event"] for entry in logs] == ["store_unavailable", "incident_not_delivered"]
