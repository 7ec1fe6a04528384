from structlog.testing import capture_logs

from flows.clock import wall_ms
from flows.model import Incident
from sinks.mongo.buffer import Loss
from sinks.mongo.outage import HELD_BACK, OutageWatch, retry_delay_s
from tests.fakes.candles import BEGIN, candle


class Recorder:
    """A watch with a clock in the hand, and what it reported."""

    def __init__(self) -> None:
        self.local_ms = 1_000
        self.incidents: list[Incident] = []
        self.watch = OutageWatch(venue="binance", on_incident=self.incidents.append, local_ms=lambda: self.local_ms)


def test_an_outage_has_a_begin_and_an_end_in_the_feeds_time() -> None:
    made = Recorder()
    made.watch.on_news([candle(0)])
    made.watch.on_failure("connection refused", held=3)
    made.watch.on_news([candle(5), candle(4)])
    made.watch.on_failure("connection refused", held=9)
    made.local_ms += 2_500
    assert made.watch.on_success()
    assert not made.watch.on_success()
    begin, end = candle(0).event_time, candle(5).event_time
    assert made.incidents == [
        Incident("store_outage", "binance", "", begin, begin, "connection refused", HELD_BACK),
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
        ("candles cannot be stored, trying again", "error", None),
        ("candles still cannot be stored", "error", 61),
        ("candles still cannot be stored", "error", 121),
        ("candles are stored again", "info", 130),
    ]
    assert all("mongo.uri" in entry["hint"] for entry in logs[:3])


def test_the_pause_doubles_up_to_its_longest() -> None:
    assert [retry_delay_s(n, jitter=lambda: 1.0) for n in range(1, 8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert retry_delay_s(10_000, jitter=lambda: 0.0) == 2.5


def test_there_is_a_pause_only_in_an_outage() -> None:
    watch = Recorder().watch
    assert watch.pause_s == 0.0
    watch.on_failure("away", held=0)
    assert 0.125 <= watch.pause_s <= 0.25
    watch.on_success()
    assert watch.pause_s == 0.0


def test_the_cause_is_known_while_it_lasts() -> None:
    watch = Recorder().watch
    assert watch.cause == ""
    for cause in ("refused", "no answer"):
        watch.on_failure(cause, held=0)
        assert watch.cause == cause
    watch.on_success()
    assert watch.cause == ""


def test_a_loss_is_an_incident_of_its_instrument() -> None:
    made = Recorder()
    with capture_logs() as logs:
        made.watch.on_loss(Loss("binance", "ETHUSDT", 12, 1, BEGIN, BEGIN + 660_000))
    assert made.incidents == [
        Incident(
            "store_outage",
            "binance",
            "ETHUSDT",
            BEGIN,
            BEGIN + 660_000,
            "the server confirmed no candles, and the buffer took no more of them",
            "12 candles and 1 incidents are not known to be stored",
        )
    ]
    assert [(entry["event"], entry["log_level"], entry["candles"]) for entry in logs] == [("candles lost", "error", 12)]


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
        OutageWatch(venue="", on_incident=fail).on_failure("away", held=0)
    assert [entry["event"] for entry in logs] == ["candles cannot be stored, trying again", "incident not delivered"]
