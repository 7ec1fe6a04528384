"""The desk in the flow and the API's side of it meet in a real server."""

import queue
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from pymongo.collection import Collection
from pymongo.database import Database

from flows.attendant import RequestDesk
from flows.model import Refreshed, RefreshWanted
from flows.settings import Feed
from flows.wishes import WishDesk
from sinks.requests import REQUESTS, Attendant, Wish, Work
from sources.feed import Wishes

TRADING = dict.fromkeys(("BTCUSDT", "SOLUSDT"), "TRADING")
WAIT_S = 20
"""A bound for broken runs."""


class Source:
    """What the desk sees of a source; everything it is told can be awaited."""

    def __init__(self) -> None:
        self.followed: queue.Queue[dict[str, Any]] = queue.Queue()
        self.refreshed: queue.Queue[RefreshWanted] = queue.Queue()

    def follow(self, wishes: Wishes, *, quiet: frozenset[str]) -> None:
        self.followed.put(dict(wishes))

    def refresh(self, wanted: RefreshWanted) -> bool:
        self.refreshed.put(wanted)
        return wanted.symbols == ("BTCUSDT",)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def desk(mongo_database: Database[dict[str, Any]], source: Source) -> Iterator[RequestDesk]:
    attendant = Attendant(mongo_database)
    wishes = WishDesk(
        attendant,
        feed=Feed(symbols=("BTCUSDT",)),
        follow=source.follow,
        ask=lambda: None,
        report=lambda _: None,
        statuses=TRADING,
    )
    desk = RequestDesk(attendant, venue="binance", refresh=source.refresh, wishes=wishes)
    desk.start()
    yield desk
    desk.close()
    desk._thread.join()


@pytest.mark.usefixtures("desk")
def test_the_source_begins_with_what_is_wanted_and_follows_every_wish(
    mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    assert source.followed.get_nowait() == {"BTCUSDT": ()}  # it was told before `start` returned
    Attendant(mongo_database).propose([Wish("binance", "SOLUSDT", wanted=True, streams=("kline",))])
    assert source.followed.get(timeout=WAIT_S) == {"BTCUSDT": (), "SOLUSDT": ("kline",)}


def test_a_request_is_handed_on_and_its_end_written_back(
    desk: RequestDesk, mongo_database: Database[dict[str, Any]], source: Source
) -> None:
    requests = mongo_database[REQUESTS]
    put(requests, "one", "BTCUSDT", timeframe="1h")
    put(requests, "two", "SOLUSDT")
    assert source.refreshed.get(timeout=WAIT_S) == RefreshWanted(("BTCUSDT",), "one", ("1h",))
    assert source.refreshed.get(timeout=WAIT_S) == RefreshWanted(("SOLUSDT",), "two")
    desk.write([Refreshed("one", "1 candle")])
    desk.close()
    desk._thread.join()
    ends = {found["_id"]: (found["state"], found["report"]) for found in requests.find()}
    assert ends == {"one": ("done", "1 candle"), "two": ("failed", "SOLUSDT is not followed by this flow")}


def put(requests: Collection[dict[str, Any]], name: str, symbol: str, **more: Any) -> None:
    """As the API does it."""
    work = msgspec.structs.asdict(Work("refresh", "binance", symbol, **more))
    now = datetime.now(UTC)
    requests.insert_one({"_id": name, "state": "open", "report": "", "created_at": now, "updated_at": now, **work})
