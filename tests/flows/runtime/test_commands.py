"""The command poller of the flow and the API's side of it meet in a real server."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from pymongo.collection import Collection
from pymongo.database import Database

from flows.model import ListedInstrument, RefreshRequest, RefreshResult, Removed
from flows.runtime.commands import ANSWER_S, READY_S, CommandPoller, Mark
from flows.runtime.subscriptions import SubscriptionController, is_own
from flows.settings import Feed
from flows.spellings import Catalogue
from sinks.mongo.commands import (
    REQUESTS,
    SUBSCRIPTIONS,
    UNDER_WAY,
    CommandConsumer,
    DesiredSubscription,
    Work,
    leave_request,
)
from sources.feed import DesiredStreams

LISTED = [ListedInstrument("binance", symbol, "TRADING") for symbol in ("BTCUSDT", "SOLUSDT")]
WAIT_S = 20
"""A bound for broken runs."""


class Source:
    """What the poller sees of a source; everything it is told can be awaited."""

    def __init__(self) -> None:
        self.followed: queue.Queue[dict[str, Any]] = queue.Queue()
        self.refreshed: queue.Queue[RefreshRequest] = queue.Queue()
        self.accepted: queue.Queue[str] = queue.Queue()
        self.follows: frozenset[str] = frozenset()
        self.is_ready = True

    def follow(self, desired: DesiredStreams, *, not_trading: frozenset[str]) -> None:
        self.follows = frozenset(desired)
        self.followed.put(dict(desired))

    def refresh(self, wanted: RefreshRequest) -> bool:
        self.refreshed.put(wanted)
        is_accepted = self.is_ready and wanted.symbols[0] in self.follows
        if is_accepted:
            self.accepted.put(wanted.request)
        return is_accepted


@pytest.fixture
def source() -> Source:
    return Source()


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@contextmanager
def running_poller(
    database: Database[dict[str, Any]],
    source: Source,
    local_s: Clock | None = None,
    mark: Mark = lambda: lambda: True,
    **feed: Any,
) -> Iterator[CommandPoller]:
    consumer = CommandConsumer(database)
    settings = Feed(**{"symbols": ("BTCUSDT",)} | feed)
    clock = local_s or Clock()
    subscriptions = SubscriptionController(
        consumer,
        feed=settings,
        follow=source.follow,
        announce=lambda _: None,
        query_instruments=lambda: None,
        report=lambda _: None,
        catalogue=Catalogue(),
        instruments=LISTED,
        local_s=clock,
    )
    poller = CommandPoller(
        consumer,
        venue="binance",
        refresh=source.refresh,
        subscriptions=subscriptions,
        is_own=partial(is_own, settings),
        mark=mark,
        local_s=clock,
    )
    poller.start()
    poller.wait_first()
    try:
        yield poller
    finally:
        poller.close()
        poller._thread.join()


@pytest.fixture
def poller(mongo_database: Database[dict[str, Any]], source: Source) -> Iterator[CommandPoller]:
    with running_poller(mongo_database, source) as poller:
        yield poller


@pytest.mark.usefixtures("poller")
def test_the_source_begins_with_what_is_wanted_and_follows_every_wish(
    mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    assert source.followed.get_nowait() == {"BTCUSDT": ()}  # it was told before `start` returned
    CommandConsumer(mongo_database).propose(
        [DesiredSubscription("binance", "SOLUSDT", wanted=True, streams=("kline",))]
    )
    assert source.followed.get(timeout=WAIT_S) == {"BTCUSDT": (), "SOLUSDT": ("kline",)}


def test_a_request_is_handed_on_and_its_end_written_back(
    poller: CommandPoller, mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    requests = mongo_database[REQUESTS]
    put(requests, "one", "BTCUSDT", timeframe="1h")
    put(requests, "two", "SOLUSDT")
    assert source.refreshed.get(timeout=WAIT_S) == RefreshRequest(("BTCUSDT",), "one", ("1h",))
    assert source.refreshed.get(timeout=WAIT_S) == RefreshRequest(("SOLUSDT",), "two")
    poller.write([RefreshResult("one", "1 candle")])
    assert until_ended(requests, "one") == ("done", "1 candle")
    assert until_ended(requests, "two") == ("failed", "SOLUSDT is not followed by this flow")


def test_a_request_ends_at_once_when_its_symbol_is_removed_and_a_later_one_begins_anew(
    poller: CommandPoller, mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    requests = mongo_database[REQUESTS]
    put(requests, "one", "BTCUSDT")
    assert source.refreshed.get(timeout=WAIT_S).request == "one"
    subscription(mongo_database, "BTCUSDT", is_wanted=False)
    assert until_ended(requests, "one") == ("failed", "BTCUSDT is not followed any more: it was removed")
    subscription(mongo_database, "BTCUSDT", is_wanted=True)
    put(requests, "two", "BTCUSDT")
    assert source.refreshed.get(timeout=WAIT_S).request == "two"
    poller.write([RefreshResult("one", "too late"), RefreshResult("two", "2 candles")])
    assert until_ended(requests, "two") == ("done", "2 candles")
    assert state_of(requests, "one") == ("failed", "BTCUSDT is not followed any more: it was removed")


def test_a_request_ends_with_the_machine_that_worked_on_it(
    poller: CommandPoller, mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    """It was removed and added again between two looks."""
    requests = mongo_database[REQUESTS]
    put(requests, "one", "BTCUSDT")
    assert source.refreshed.get(timeout=WAIT_S).request == "one"
    poller.write([Removed("market", ("ETHUSDT",), ("aggTrade",), is_gone=True)])
    assert state_of(requests, "one")[0] == "running"
    poller.write([Removed("market", ("BTCUSDT", "ETHUSDT"), ("aggTrade",), is_gone=True)])
    removed = "BTCUSDT is not followed any more: its streams have been removed"
    assert until_ended(requests, "one") == ("failed", removed)


def test_a_symbol_that_is_wished_together_with_its_request_is_no_stranger(
    mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    requests = mongo_database[REQUESTS]
    with running_poller(mongo_database, source) as poller:
        subscription(mongo_database, "SOLUSDT", is_wanted=True)
        put(requests, "one", "SOLUSDT")
        assert source.refreshed.get(timeout=WAIT_S).symbols == ("SOLUSDT",)
        poller.write([RefreshResult("one", "1 candle")])
        assert until_ended(requests, "one") == ("done", "1 candle")


def test_a_request_without_an_answer_ends(mongo_database: Database[dict[str, Any]], source: Source) -> None:
    clock = Clock()
    with running_poller(mongo_database, source, clock):
        put(mongo_database[REQUESTS], "one", "BTCUSDT")
        source.refreshed.get(timeout=WAIT_S)
        clock.seconds = ANSWER_S + 1
        assert until_ended(mongo_database[REQUESTS], "one") == ("failed", "BTCUSDT: no answer within 900 s")


def test_what_was_running_when_a_flow_ended_is_done_by_the_next(
    mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    requests = mongo_database[REQUESTS]
    put(requests, "crashed", "BTCUSDT", state="running")
    put(requests, "other venue", "BTCUSDT", state="running", venue="kraken")
    with running_poller(mongo_database, source) as poller:
        assert source.refreshed.get(timeout=WAIT_S).request == "crashed"
        poller.write([RefreshResult("crashed", "1 candle")])
        assert until_ended(requests, "crashed") == ("done", "1 candle")
        put(requests, "stopped", "BTCUSDT", timeframe="1m")
        assert source.refreshed.get(timeout=WAIT_S).request == "stopped"
    assert [state_of(requests, name)[0] for name in ("crashed", "stopped", "other venue")] == [
        "done",
        "open",
        "running",
    ]
    with running_poller(mongo_database, source) as poller:
        assert source.refreshed.get(timeout=WAIT_S).request == "stopped"
        poller.write([RefreshResult("stopped", "2 candles")])
        assert until_ended(requests, "stopped") == ("done", "2 candles")


def test_a_request_is_done_when_its_candles_are_stored(
    mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    marked, stored = queue.SimpleQueue[None](), threading.Event()

    def mark() -> Callable[[], bool]:
        def is_stored() -> bool:
            marked.put(None)
            return stored.is_set()

        return is_stored

    requests = mongo_database[REQUESTS]
    with running_poller(mongo_database, source, mark=mark) as poller:
        put(requests, "one", "BTCUSDT")
        source.refreshed.get(timeout=WAIT_S)
        poller.write([RefreshResult("one", "1 candle")])
        for _ in range(2):
            marked.get(timeout=WAIT_S)
        assert state_of(requests, "one")[0] == "running"
        stored.set()
        assert until_ended(requests, "one") == ("done", "1 candle")
        stored.clear()
        put(requests, "two", "BTCUSDT", timeframe="1m")
        source.refreshed.get(timeout=WAIT_S)
        poller.write([RefreshResult("two", "2 candles")])
    assert state_of(requests, "two")[0] == "open", "the next flow does it again"


def test_a_request_waits_for_a_source_that_is_not_ready(
    mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    source.is_ready = False
    clock = Clock()
    with running_poller(mongo_database, source, clock) as poller:
        put(mongo_database[REQUESTS], "one", "BTCUSDT")
        for _ in range(2):
            assert source.refreshed.get(timeout=WAIT_S).request == "one"
        source.is_ready = True
        assert source.accepted.get(timeout=WAIT_S) == "one"
        poller.write([RefreshResult("one", "1 candle")])
        assert until_ended(mongo_database[REQUESTS], "one") == ("done", "1 candle")
        source.is_ready = False
        put(mongo_database[REQUESTS], "two", "BTCUSDT")
        while source.refreshed.get(timeout=WAIT_S).request != "two":
            pass  # earlier attempts at the other
        clock.seconds = READY_S + 1
        assert until_ended(mongo_database[REQUESTS], "two") == ("failed", "BTCUSDT is not followed by this flow")


def test_a_process_takes_the_requests_of_its_share_alone(
    mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    requests = mongo_database[REQUESTS]
    put(requests, "theirs", "BTCUSDT")
    put(requests, "left by theirs", "BTCUSDT", state="running")
    put(requests, "ours", "SOLUSDT")
    with running_poller(mongo_database, source, symbols=("BTCUSDT", "SOLUSDT"), shard="2/2"):
        assert source.refreshed.get(timeout=WAIT_S).request == "ours"
    assert [state_of(requests, name)[0] for name in ("theirs", "left by theirs", "ours")] == ["open", "running", "open"]


def state_of(requests: Collection[dict[str, Any]], name: str) -> tuple[str, str]:
    found = requests.find_one({"_id": name})
    assert found is not None
    return found["state"], found["report"]


def until_ended(requests: Collection[dict[str, Any]], name: str) -> tuple[str, str]:
    end = time.monotonic() + WAIT_S
    while state_of(requests, name)[0] in UNDER_WAY:
        assert time.monotonic() < end, "it does not end"
        time.sleep(0.02)
    return state_of(requests, name)


def subscription(database: Database[dict[str, Any]], symbol: str, *, is_wanted: bool) -> None:
    """As the API does it."""
    document = {"venue": "binance", "symbol": symbol, "wanted": is_wanted, "streams": []}
    database[SUBSCRIPTIONS].replace_one({"_id": f"binance:{symbol}"}, document, upsert=True)


def put(
    requests: Collection[dict[str, Any]], name: str, symbol: str, *,
    state: str = "open", venue: str = "binance", **more: Any,
) -> None:  # fmt: skip
    """As the API does it."""
    work = msgspec.structs.asdict(Work("refresh", venue, symbol, **more))
    now = datetime.now(UTC)
    requests.insert_one({"_id": name, "state": state, "report": "", "created_at": now, "updated_at": now, **work})


@pytest.mark.usefixtures("poller")
def test_what_a_command_asks_for_is_told_and_asked_once(
    mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    work = Work("republish", "binance", "BTCUSDT", "1m", 60_000, 120_000)
    leave_request(mongo_database, work)
    wanted = source.refreshed.get(timeout=WAIT_S)
    assert wanted == RefreshRequest(("BTCUSDT",), wanted.request, ("1m",), 60_000, 120_000, is_stored=True)
    leave_request(mongo_database, work)  # what changed since the first was taken is told too
    again = source.refreshed.get(timeout=WAIT_S)
    assert (again.request != wanted.request, again.is_stored) == (True, True)


def test_a_request_that_nobody_has_taken_will_do(mongo_database: Database[dict[str, Any]]) -> None:
    work = Work("republish", "binance", "BTCUSDT", "1m", 60_000, 120_000)
    for _ in range(2):
        leave_request(mongo_database, work)
    leave_request(mongo_database, msgspec.structs.replace(work, end=180_000))
    found = mongo_database[REQUESTS].find({"state": "open"}).sort("end")
    assert [(one["kind"], one["start"], one["end"]) for one in found] == [
        ("republish", 60_000, 120_000),
        ("republish", 60_000, 180_000),
    ]
