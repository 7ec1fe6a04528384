"""Requests to the flow, with a real mongod and without a flow."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from api.analysis import AnalysisService
from api.gateway.gateway import Gateway
from api.http.errors import Problem
from api.http.params import CandleRange, RangeParams
from api.live.candle_cache import SeriesKey
from api.live.view import LiveView
from api.metrics import ApiMetrics
from api.readiness import Readiness
from api.routes.candles import Chart, Charts
from api.routes.history_requests import ASK_AGAIN_MS, JobView, job_view, request_history
from api.services import Services
from api.stores.history import History
from api.stores.instruments import Instruments
from api.stores.mongo import MongoStore
from api.stores.trades import TradeArchive
from flows.clock import wall_ms
from flows.model import Candle
from sinks.hub.payloads import iso_utc
from sinks.mongo.commands import REQUESTS, CommandConsumer, Request, RequestState, Work
from tests.fakes.candles import BEGIN
from tests.fakes.interface import Deployment, stored_candles

HOUR = 3_600_000
KEY = SeriesKey("binance", "BTCUSDT", "1h")
SPAN = CandleRange(BEGIN, BEGIN + 3 * HOUR, 3)


@pytest.fixture
async def services(deployment: Deployment) -> AsyncIterator[Services]:
    """Services without background tasks: the test decides whether the store is up."""
    settings = deployment.settings()
    live, mongo = LiveView(), MongoStore(settings.mongo, timeout_s=5)
    history, trades = History(mongo, live.candles), TradeArchive(settings.trades, venues=("binance",))
    instruments, analysis = Instruments(settings.by_venue, live, mongo), AnalysisService(settings, history, live)
    await mongo.check()
    readiness = Readiness(settings, live, mongo, trades)
    gateway, metrics = Gateway(settings.hub, live, venues=settings.by_venue), ApiMetrics(live)
    yield Services(
        settings, live, gateway, mongo, trades, None, trades, None, None, instruments, history, analysis, metrics,
        readiness,
    )  # fmt: skip
    await mongo.close()
    await trades.close()


def end_request(deployment: Deployment, report: str, *, ago_ms: int = 0) -> None:
    """The flow has taken the request and failed, this long ago."""
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        database = client[deployment.database]
        flow = CommandConsumer(database)
        taken = flow.take("binance")
        assert taken is not None
        flow.report(taken.id, "failed", report)
        changed = {"$set": {"updated_at": DatetimeMS(wall_ms() - ago_ms)}}
        database[REQUESTS].update_one({"_id": taken.id}, changed)


async def fetch(services: Services, *, has_some: bool, span: CandleRange = SPAN) -> JobView:
    view = await request_history(services, KEY, span, has_some=has_some)
    assert view is not None
    return view


async def test_the_exact_range_is_requested_and_followed_symbols_are_not_subscribed(services: Services) -> None:
    view = await fetch(services, has_some=True)
    commands = services.mongo.commands
    request = await commands.request(view.id)
    assert request is not None
    assert request.work == Work("history", "binance", "BTCUSDT", "1h", BEGIN, BEGIN + 3 * HOUR)
    assert await commands.subscriptions("binance") == []
    other = await fetch(services, has_some=True, span=CandleRange(None, BEGIN, 3))
    assert other.id != view.id, "another span is another request"


async def test_a_request_that_ended_a_moment_ago_is_shown_where_there_are_candles(
    services: Services, deployment: Deployment
) -> None:
    first = await fetch(services, has_some=True)
    end_request(deployment, "the venue has no more", ago_ms=ASK_AGAIN_MS // 2)
    ended = await fetch(services, has_some=True)
    assert (ended.id, ended.state, ended.report) == (first.id, "failed", "the venue has no more")
    assert ended.wait_s == 0.0


@pytest.mark.parametrize(("report", "reason"), [("the venue has none", "the venue has none"), ("", "failed")])
async def test_and_says_why_there_are_none_where_there_are_not(
    services: Services, deployment: Deployment, report: str, reason: str
) -> None:
    await fetch(services, has_some=False)
    end_request(deployment, report)
    with pytest.raises(Problem, match=f"there are no such candles: {reason}") as refused:
        await fetch(services, has_some=False)
    assert refused.value.code == "no_data"


async def test_after_a_while_the_same_is_requested_again(services: Services, deployment: Deployment) -> None:
    first = await fetch(services, has_some=False)
    end_request(deployment, "the venue did not answer", ago_ms=ASK_AGAIN_MS)
    second = await fetch(services, has_some=False)
    assert (second.id == first.id, second.state) == (False, "open")


async def test_without_the_store_what_there_is_can_be_shown_and_what_there_is_not_cannot(services: Services) -> None:
    services.mongo.watch.report(up=False, reason="gone")
    assert await request_history(services, KEY, SPAN, has_some=True) is None
    with pytest.raises(Problem, match="gone") as refused:
        await request_history(services, KEY, SPAN, has_some=False)
    assert refused.value.code == "store_unavailable"


@pytest.mark.parametrize("seen", [0, 2])
async def test_what_was_stored_after_the_candles_were_read_is_in_the_answer(
    services: Services, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, seen: int
) -> None:
    """A request may end between the two reads, of the candles and of its state: the answer has no hole then."""
    minute, stored = SeriesKey("binance", "BTCUSDT", "1m"), stored_candles(4)
    await request_history(services, minute, CandleRange(None, stored[-1].close_time + 1, 4), has_some=False)
    end_request(deployment, "4 candles")
    reads = iter([stored[:seen], stored])

    async def read(*_: Any) -> list[Candle]:
        return next(reads)

    monkeypatch.setattr(services.history, "newest", read)
    chart = await Charts(services).chart(RangeParams("BTCUSDT", "1m", end=stored[-1].close_time + 1, limit=4))
    assert isinstance(chart, Chart)
    times = [one["timestamp"] for one in msgspec.json.decode(msgspec.json.encode(chart.candles))]
    assert times == [candle.open_time for candle in stored]


def request(state: RequestState, *, created_ms: int) -> Request:
    work = Work("history", "binance", "BTCUSDT", "1h", BEGIN)
    return Request("one", work, state, "so far", created_ms, created_ms + 250)


def test_a_request_is_shown_with_its_times_as_text() -> None:
    shown = job_view(request("done", created_ms=BEGIN))
    assert shown == JobView(
        "one", "history", "binance", "BTCUSDT", "1h", "done", "so far", iso_utc(BEGIN), iso_utc(BEGIN + 250), 0.0
    )


@pytest.mark.parametrize(("candles", "total_s"), [(0, 3.0), (999, 3.0), (1_000, 3.5), (10_500, 8.0)])
def test_each_further_page_is_waited_for(candles: int, total_s: float) -> None:
    before = wall_ms()
    shown = job_view(request("open", created_ms=before - 1_500), candles=candles)
    took_s = (wall_ms() - before) / 1_000
    assert max(total_s - 1.5 - took_s, 1.0) - 0.05 <= shown.wait_s <= total_s - 1.5 + 0.05


def test_what_takes_longer_than_thought_is_still_waited_for() -> None:
    states: tuple[RequestState, ...] = ("open", "running", "done", "failed")
    assert [job_view(request(state, created_ms=BEGIN)).wait_s for state in states] == [1.0, 1.0, 0.0, 0.0]
