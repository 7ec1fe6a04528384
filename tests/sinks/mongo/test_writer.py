import queue
import signal
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from structlog.testing import capture_logs

from flows.clock import monotonic_ms
from flows.model import Candle, Incident
from flows.settings import Mongo
from sinks.buffered.writer import CLOSE_TIMEOUT_S
from sinks.mongo.documents import INCIDENTS, MARKET_DATA
from sinks.mongo.reader import read_candles
from sinks.mongo.writer import HINT, MongoAddressError, MongoWriter, open_client, open_mongo_writer
from sinks.mongod.server import Mongod
from tests.conftest import FAST
from tests.fakes.candles import BEGIN, candle, forming, gap
from tests.fakes.mute_line import mute_line

NOBODY = "mongodb://127.0.0.1:1"
PATIENCE_S = 60.0
DAY = BEGIN + 86_400_000


def open_writer(uri: str, database: str, **options: Any) -> MongoWriter:
    return MongoWriter(open_client(Mongo(uri=uri)), database=database, retention_days={}, **options)


def minutes(database: Database[dict[str, Any]]) -> list[Candle]:
    return read_candles(database, "binance", "BTCUSDT", "1m", BEGIN, DAY)


class Incidents(queue.SimpleQueue[Incident]):
    """Waits for what a writer reports."""

    def outcome(self) -> str:
        return self.get(timeout=PATIENCE_S).outcome


def test_what_is_written_is_there_after_the_close(mongod_uri: str, mongo_database: Database[dict[str, Any]]) -> None:
    writer = open_writer(mongod_uri, mongo_database.name)
    writer.write([candle(0), forming(2), gap()])
    writer.write([candle(1), forming(2, last_id=1_030)])
    with capture_logs() as logs:
        writer.close()
        writer.close()
        writer.write([candle(3)])

    assert minutes(mongo_database) == [
        candle(0, event_time=0),
        candle(1, event_time=0),
        forming(2, last_id=1_030, event_time=0),
    ]
    assert [(found["kind"], found["first_id"]) for found in mongo_database[INCIDENTS].find()] == [("gap", 7)]
    assert set(mongo_database[MARKET_DATA].index_information()) == {"_id_", "candle", "newest", "span", "expiry"}
    assert (writer.stored.closed, writer.stored.incidents) == (2, 1)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("candles_stored", "info"),
        ("written_after_close", "error"),
    ]


def test_another_database_than_before_is_told_and_its_past_wanted(
    mongod_uri: str, mongo_client: MongoClient[dict[str, Any]], mongo_database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    incidents, wanted = Incidents(), list[str]()
    for life in ("first", "same", "replaced"):
        if life == "replaced":
            mongo_client.drop_database(mongo_database.name)
        writer = open_writer(
            mongod_uri,
            mongo_database.name,
            on_incident=incidents.put,
            identity_file=tmp_path / "database",
            on_replaced=lambda life=life: wanted.append(life),
        )
        writer.write([candle(0)])
        writer.close()
    assert wanted == ["replaced"]
    told = incidents.get(timeout=PATIENCE_S)
    assert (told.kind, mongo_database.name in told.cause) == ("store_outage", True)
    assert incidents.empty()


def test_a_database_that_is_replaced_between_two_writes_is_told_too(
    mongod_uri: str, mongo_client: MongoClient[dict[str, Any]], mongo_database: Database[dict[str, Any]]
) -> None:
    incidents, replaced = Incidents(), threading.Event()
    writer = open_writer(mongod_uri, mongo_database.name, on_incident=incidents.put, on_replaced=replaced.set)
    writer.write([candle(0)])
    wait_for(lambda: writer.stored.closed == 1)
    mongo_client.drop_database(mongo_database.name)
    for number in count(1):
        writer.write([candle(number)])
        if replaced.wait(0.1):
            break
    assert mongo_database.name in incidents.get(timeout=PATIENCE_S).cause
    writer.close()
    assert (writer.failures, incidents.empty()) == (0, True)
    assert mongo_database[MARKET_DATA].index_information()["candle"]["unique"]


def test_the_settings_become_a_writer(mongod_uri: str, mongo_database: Database[dict[str, Any]]) -> None:
    settings = Mongo(uri=mongod_uri, database=mongo_database.name, retention_days={"1m": 36_500})
    for minute, retention in enumerate((True, False)):
        writer = open_mongo_writer(settings, retention=retention, on_incident=lambda _: None)
        writer.write([candle(minute)])
        writer.close()
    kept, kept_for_ever = mongo_database[MARKET_DATA].find().sort("open_time")
    assert kept["expires_at"] is not None
    assert kept_for_ever["expires_at"] is None


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1", "URI scheme"),
        ("mongodb://", "hostname"),
        ("mongodb://host:99999", "Port"),
        ("mongodb://host/?colour=blue", "colour"),
        ("", "Empty host"),
    ],
)
def test_a_bad_address_is_named_at_once(uri: str, reason: str) -> None:
    with pytest.raises(MongoAddressError, match=f"mongo.uri: .*{reason}.*mongodb://127.0.0.1:27017"):
        open_mongo_writer(Mongo.model_construct(uri=uri), retention=True, on_incident=lambda _: None)


@pytest.mark.slow
def test_an_absent_server_is_noticed_and_delays_nobody() -> None:
    incidents = Incidents()
    writer = open_writer(NOBODY, "test", on_incident=incidents.put)
    began_ms = monotonic_ms()
    writer.write([candle(0), candle(1), forming(2)])
    assert monotonic_ms() - began_ms < 1_000
    assert incidents.outcome() == f"held back, trying again; {HINT}"
    with capture_logs() as logs:
        closing_ms = monotonic_ms()
        writer.close()
    assert monotonic_ms() - closing_ms < (CLOSE_TIMEOUT_S + 1) * 1_000
    assert incidents.outcome() == "2 candles and 0 incidents are not known to be stored"
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("candles_lost", "error"),
        ("forming_candles_not_stored", "warning"),
    ]


class Server:
    """A server of its own that a test may ill-treat."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.process = self._start(0)
        self.uri = self.process.uri
        self.client = MongoClient[dict[str, Any]](self.uri)

    def _start(self, port: int) -> Mongod:
        process = Mongod(self._path, port=port, parameters=FAST)
        process.wait_ready()
        return process

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait(PATIENCE_S) == -signal.SIGKILL

    def come_back(self) -> None:
        self.process = self._start(int(self.uri.rpartition(":")[2]))

    def end(self) -> None:
        self.client.close()
        self.process.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.end()
    for journal in (tmp_path / "journal").iterdir():
        journal.unlink()


@pytest.mark.e2e
def test_nothing_closed_is_lost_while_the_server_is_killed(server: Server) -> None:
    incidents = Incidents()
    writer = open_writer(server.uri, "test", venue="binance", on_incident=incidents.put)
    writer.write([candle(0)])
    wait_for(lambda: writer.stored.closed == 1)

    server.kill()
    writer.write([candle(1), forming(3)])
    begin = incidents.get(timeout=PATIENCE_S)
    assert writer.outage
    writer.write([candle(4), candle(0, revision=1)])
    server.come_back()
    end = incidents.get(timeout=PATIENCE_S)
    assert writer.outage == ""
    writer.write([begin, end])
    writer.close()

    assert minutes(server.client["test"]) == [
        candle(0, revision=1, event_time=0),
        candle(1, event_time=0),
        forming(3, event_time=0),
        candle(4, event_time=0),
    ]
    since = forming(3).event_time
    assert (begin.kind, begin.venue, begin.begin, begin.end) == ("store_outage", "binance", since, since)
    assert (end.kind, end.venue, end.begin, end.end) == ("store_outage", "binance", since, candle(4).event_time)
    assert [found["outcome"] for found in server.client["test"][INCIDENTS].find()] == [begin.outcome, end.outcome]


def stop(server: Server) -> None:
    """Stops a server and waits until none of its threads runs: one that still does may answer."""
    server.process.send_signal(signal.SIGSTOP)
    threads = Path(f"/proc/{server.process.pid}/task")
    wait_for(lambda: all(state.read_text().rpartition(")")[2].split()[0] == "T" for state in threads.glob("*/stat")))


@pytest.mark.e2e
def test_nothing_closed_is_lost_while_the_server_hangs(server: Server) -> None:
    incidents = Incidents()
    writer = open_writer(server.uri, "test", on_incident=incidents.put)
    writer.write([candle(0)])
    wait_for(lambda: writer.stored.closed == 1)

    stop(server)
    writer.write([candle(1)])
    assert incidents.outcome() == f"held back, trying again; {HINT}"
    writer.write([candle(2)])
    server.process.send_signal(signal.SIGCONT)
    assert incidents.outcome().startswith("storing what was held")
    writer.close()

    assert minutes(server.client["test"]) == [candle(minute, event_time=0) for minute in range(3)]


@pytest.mark.e2e
def test_a_server_that_hangs_does_not_delay_the_end(server: Server) -> None:
    incidents = Incidents()
    writer = open_writer(server.uri, "test", on_incident=incidents.put)
    writer.write([candle(0)])
    wait_for(lambda: writer.stored.closed == 1)

    stop(server)
    writer.write([candle(1)])
    closing_ms = monotonic_ms()
    writer.close()
    assert monotonic_ms() - closing_ms < (CLOSE_TIMEOUT_S + 1.5) * 1_000
    assert incidents.outcome() == f"held back, trying again; {HINT}"
    assert incidents.outcome() == "1 candle and 0 incidents are not known to be stored"
    server.process.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_losses_are_told_while_the_outage_lasts() -> None:
    incidents = Incidents()
    writer = open_writer(NOBODY, "test", capacity=10, summary_s=0.001, on_incident=incidents.put)
    writer.write([candle(minute) for minute in range(15)])
    assert [incidents.outcome(), incidents.outcome()] == [
        f"held back, trying again; {HINT}",
        "5 candles and 0 incidents are not known to be stored",
    ]
    writer.close()
    assert incidents.outcome() == "10 candles and 0 incidents are not known to be stored"


@pytest.mark.e2e
def test_a_server_that_comes_back_empty_gets_its_indexes(server: Server) -> None:
    incidents = Incidents()
    writer = open_writer(server.uri, "test", on_incident=incidents.put)
    writer.write([candle(0)])
    wait_for(lambda: writer.stored.closed == 1)
    server.client.drop_database("test")

    server.kill()
    writer.write([candle(1)])
    incidents.outcome()
    server.come_back()
    incidents.outcome()
    writer.close()

    assert server.client["test"][MARKET_DATA].index_information()["candle"]["unique"]


@pytest.mark.e2e
def test_a_full_buffer_says_what_it_lost_when_the_server_is_back(server: Server) -> None:
    incidents = Incidents()
    server.kill()
    writer = open_writer(server.uri, "test", capacity=1_000, on_incident=incidents.put)
    assert incidents.outcome() == f"held back, trying again; {HINT}"
    writer.write([candle(minute) for minute in range(1_200)])
    server.come_back()
    outcomes = [incidents.outcome(), incidents.outcome()]
    writer.close()

    assert outcomes[1] == "200 candles and 0 incidents are not known to be stored"
    assert minutes(server.client["test"]) == [candle(minute, event_time=0) for minute in range(200, 1_200)]


@pytest.mark.e2e
def test_a_listener_may_write_what_it_hears(server: Server) -> None:
    heard = Incidents()

    def hear(incident: Incident) -> None:
        writer.write([incident])
        heard.put(incident)

    server.kill()
    writer = open_writer(server.uri, "test", on_incident=hear)
    heard.outcome()
    server.come_back()
    heard.outcome()
    writer.close()
    assert [found["kind"] for found in server.client["test"][INCIDENTS].find()] == ["store_outage"] * 2


def test_what_has_landed_without_an_answer_is_stored(mongod_uri: str, mongo_database: Database[dict[str, Any]]) -> None:
    incidents = Incidents()
    with mute_line(mongod_uri) as line, capture_logs() as logs:
        writer = open_writer(line.uri, mongo_database.name, write_timeout_s=1.0, on_incident=incidents.put)
        writer.write([candle(0)])
        wait_for(lambda: writer.stored.closed == 1)

        line.mute("update")
        writer.write([candle(0, revision=1), candle(1), candle(2)])
        wait_for(lambda: not writer.held)
        assert line.swallowed.get(timeout=PATIENCE_S) == "update"
        line.mute()
        writer.close()

    assert (writer.stored.closed, writer.failures, incidents.empty()) == (4, 0, True)
    assert minutes(mongo_database) == [candle(0, revision=1, event_time=0), *(candle(n, event_time=0) for n in (1, 2))]
    assert [entry["items"] for entry in logs if entry["event"] == "stored_without_answer"] == [3]


def test_only_what_has_not_landed_is_written_again(mongod_uri: str, mongo_database: Database[dict[str, Any]]) -> None:
    incidents = Incidents()
    with mute_line(mongod_uri) as line:
        writer = open_writer(line.uri, mongo_database.name, write_timeout_s=1.0, on_incident=incidents.put)
        writer.write([candle(0)])
        wait_for(lambda: writer.stored.closed == 1)

        line.mute("update")  # that of incidents lands, and that of candles is sent behind its answer
        writer.write([candle(1), candle(2), gap()])
        begin = incidents.get(timeout=PATIENCE_S)
        assert (begin.outcome, begin.cause.partition("; ")[2]) == (
            f"held back, trying again; {HINT}",
            "of 3 items, 1 stored",
        )
        assert writer.pending() in ([candle(1), candle(2)], [])  # by now those may have landed too
        line.mute()
        assert incidents.outcome().startswith("storing what was held")
        writer.close()

    assert (writer.stored.closed, writer.stored.incidents) == (3, 1)
    assert minutes(mongo_database) == [candle(number, event_time=0) for number in range(3)]
    assert [found["first_id"] for found in mongo_database[INCIDENTS].find()] == [7]


def test_what_nobody_can_know_is_held_and_said_so(mongod_uri: str, mongo_database: Database[dict[str, Any]]) -> None:
    incidents = Incidents()
    with mute_line(mongod_uri) as line:
        writer = open_writer(line.uri, mongo_database.name, write_timeout_s=1.0, on_incident=incidents.put)
        writer.write([candle(0)])
        wait_for(lambda: writer.stored.closed == 1)

        line.mute("update", "find")
        writer.write([candle(1)])
        begin = incidents.get(timeout=PATIENCE_S)
        assert "; whether 1 item is stored is not known: " in begin.cause
        assert writer.pending() == [candle(1)]
        writer.close()
        assert incidents.outcome() == "1 candle and 0 incidents are not known to be stored"

    assert minutes(mongo_database) == [candle(number, event_time=0) for number in range(2)]  # they were


def wait_for(holds: Any) -> None:
    """A writer tells nobody when it has stored something."""
    while not holds():
        time.sleep(0.01)
