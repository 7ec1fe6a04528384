import asyncio
import threading
import time
from typing import Any

import msgspec
import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, cluster_main, run_main

from flows.model import (
    Connected,
    Disconnected,
    Flush,
    RawFrames,
    RefreshRequest,
    Removed,
    StreamNames,
    Subscribed,
    TradingStatus,
)
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.bridge import FeedPartition, FeedSource
from sources.feed import shard_of
from sources.waiting import SourceWorker, WakeEvent
from tests.fakes.venue import VenueSession, frame, running_venue


class ThreadedVenue:
    """The scripted venue on a thread of its own, for the flow takes the main one."""

    def __init__(self, *scripts: Any) -> None:
        self._scripts = scripts
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> str:
        self._thread.start()
        assert self._ready.wait(10)
        return self._url

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        async with running_venue(*self._scripts) as self._url:
            self._ready.set()
            await self._end.wait()


def run(url: str, *, until: int, workers: int = 1, **changes: Any) -> list[Any]:
    """Runs a flow on the source until so many frames have come, and returns all items."""
    stop = threading.Event()
    out: list[Any] = []
    chosen: dict[str, Any] = {"symbols": ("BTCUSDT",), "streams": ("aggTrade",), "origin": "replay", "ws_url": url}
    settings = Feed(**chosen | changes)
    seen = 0

    def look(_: str, item: Any) -> None:
        nonlocal seen
        seen += len(item.payloads) if isinstance(item, RawFrames) else 0
        if seen >= until:
            stop.set()

    flow = Dataflow("test")
    items = op.input("source", flow, FeedSource(BinanceFeed(settings), settings=settings, stop=stop))
    op.output("out", op.inspect("look", items, look), TestingSink(out))
    if workers == 1:
        run_main(flow)
    else:
        cluster_main(flow, [], 0, worker_count_per_proc=workers)
    return out


async def send_hundred(session: VenueSession) -> None:
    await session.confirm()
    for number in range(100):
        await session.send(frame(number))
    await session.stay()


def test_every_frame_comes_once_and_in_order_between_the_line_events() -> None:
    with ThreadedVenue(send_hundred) as url:
        out = run(url, until=100)
    assert [type(item) for item in out if isinstance(item, Connected | Subscribed)] == [Connected, Subscribed]
    frames = [payload for item in out if isinstance(item, RawFrames) for payload in item.payloads]
    assert frames == [frame(number) for number in range(100)]
    assert {item.line for item in out if isinstance(item, RawFrames)} == {"market"}


def test_the_input_ends_with_a_pulse_and_deliveries_are_followed_by_one() -> None:
    with ThreadedVenue(send_hundred) as url:
        out = run(url, until=100)
    assert out[-1] == Flush(final=True)


def test_frames_come_with_the_names_of_the_streams_that_were_asked_for() -> None:
    with ThreadedVenue(send_hundred) as url:
        out = run(url, until=100)
    names = {item.streams for item in out if isinstance(item, RawFrames)}
    assert names == {StreamNames(frozenset(("btcusdt@aggTrade",)))}


def test_a_source_without_news_pulses_twice_a_second() -> None:
    partition = FeedPartition(
        lambda _: [], worker=SourceWorker(), poll_frames=100, hold_s=0.005, stop=threading.Event(), close=lambda: None
    )
    pulses, begin_s = [], time.monotonic()
    while time.monotonic() - begin_s < 3:
        if partition.next_batch() == [Flush()]:
            pulses.append(time.monotonic() - begin_s)
    partition.close()
    assert 3 <= len(pulses) <= 7


def test_what_the_venue_says_of_symbols_goes_to_their_shards_when_these_are_built() -> None:
    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT")
    settings = Feed(symbols=symbols, shards=4, streams=("aggTrade",), origin="replay", ws_url="ws://127.0.0.1:9")
    source = FeedSource(BinanceFeed(settings), settings=settings, stop=threading.Event())
    source.announce(TradingStatus(symbols, "TRADING"))
    source.announce(TradingStatus(("ETHUSDT",), "BREAK"))
    parts = {name: source.build_part("source", name, None) for name in source.list_parts()}
    try:
        source.announce(TradingStatus(("SOLUSDT", "BTCUSDT"), ""))
        got: dict[str, list[str]] = {symbol: [] for symbol in symbols}
        for name, part in parts.items():
            for item in part._drained(None):
                if not isinstance(item, TradingStatus):
                    continue
                for symbol in item.symbols:
                    assert name == f"shard-{shard_of(symbol, 4):02d}"
                    got[symbol].append(item.status)
        assert got == {
            "BTCUSDT": ["TRADING", ""],
            "ETHUSDT": ["BREAK"],
            "XRPUSDT": ["TRADING"],
            "SOLUSDT": ["TRADING", ""],
        }
    finally:
        for part in parts.values():
            part.close()


def test_a_witness_has_streams_subscribed_anew() -> None:
    asked: list[tuple[str, list[str]]] = []
    stop = threading.Event()

    async def serve(session: VenueSession) -> None:
        while True:
            body = await session.confirm()
            asked.append((body["method"], body["params"]))
            if len(asked) == 3:
                await session.send(frame(1))

    with ThreadedVenue(serve) as url:
        settings = Feed(symbols=("BTCUSDT", "ETHUSDT"), streams=("aggTrade",), origin="replay", ws_url=url)
        source = FeedSource(BinanceFeed(settings), settings=settings, stop=stop)
        source.renew("BTCUSDT", ("aggTrade",), "before anything is built")

        def look(_: str, item: Any) -> None:
            if isinstance(item, Subscribed):
                source.renew("BTCUSDT", ("aggTrade",), "REST knows later trades")
            elif isinstance(item, RawFrames):
                stop.set()

        flow = Dataflow("test")
        items = op.input("source", flow, source)
        op.output("out", op.inspect("look", items, look), TestingSink([]))
        run_main(flow)
    assert asked[1:] == [("UNSUBSCRIBE", ["btcusdt@aggTrade"]), ("SUBSCRIBE", ["btcusdt@aggTrade"])]
    source.renew("BTCUSDT", ("aggTrade",), "after the end")


def test_small_polls_keep_the_order() -> None:
    with ThreadedVenue(send_hundred) as url:
        out = run(url, until=100, poll_frames=7)
    assert all(len(item.payloads) <= 7 for item in out[:-4] if isinstance(item, RawFrames))
    assert [p for item in out if isinstance(item, RawFrames) for p in item.payloads] == [frame(n) for n in range(100)]


def test_shards_share_the_symbols_among_workers() -> None:
    async def tell_names(session: VenueSession) -> None:
        names = (await session.confirm())["params"]
        for number, name in enumerate(names):
            await session.send(frame(number, name))
        await session.stay()

    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT")
    with ThreadedVenue(tell_names) as url:
        out = run(url, until=4, workers=2, shards=4, symbols=symbols)
    payloads = [payload for item in out if isinstance(item, RawFrames) for payload in item.payloads]
    streams = sorted(msgspec.json.decode(payload)["stream"] for payload in payloads)
    assert streams == sorted(f"{symbol.lower()}@aggTrade" for symbol in symbols)


async def confirm_everything(session: VenueSession) -> None:
    while True:
        body = await session.confirm()
        if body["method"] == "SUBSCRIBE":
            for number, name in enumerate(body["params"]):
                await session.send(frame(number, name))


def test_symbols_come_and_go_while_the_flow_runs() -> None:
    stop = threading.Event()
    out: list[Any] = []
    steps = [{"BTCUSDT": (), "ETHUSDT": (), "XRPUSDT": ()}, {"ETHUSDT": ()}]
    with ThreadedVenue(confirm_everything) as url:
        settings = Feed(symbols=("BTCUSDT",), streams=("aggTrade",), origin="replay", ws_url=url)
        source = FeedSource(BinanceFeed(settings), settings=settings, stop=stop)

        def look(_: str, item: Any) -> None:
            if isinstance(item, Subscribed):
                source.follow(steps.pop(0))
            elif isinstance(item, Removed):
                stop.set()

        flow = Dataflow("test")
        items = op.input("source", flow, source)
        op.output("out", op.inspect("look", items, look), TestingSink(out))
        run_main(flow)
    told = [(type(item), item.symbols) for item in out if isinstance(item, Connected | Subscribed | Removed)]
    assert told == [
        (Connected, ("BTCUSDT",)),
        (Subscribed, ("BTCUSDT",)),
        (Subscribed, ("ETHUSDT", "XRPUSDT")),
        (Removed, ("BTCUSDT", "XRPUSDT")),
    ]


def test_what_is_followed_before_the_engine_has_begun_is_followed_from_the_start() -> None:
    stop = threading.Event()
    out: list[Any] = []
    with ThreadedVenue(confirm_everything) as url:
        settings = Feed(symbols=("BTCUSDT",), streams=("aggTrade",), origin="replay", ws_url=url)
        source = FeedSource(BinanceFeed(settings), settings=settings, stop=stop)
        source.follow({"ETHUSDT": ()})
        assert not source.refresh(RefreshRequest(("BTCUSDT",), "r"))

        def look(_: str, item: Any) -> None:
            if isinstance(item, Subscribed):
                stop.set()

        flow = Dataflow("test")
        items = op.input("source", flow, source)
        op.output("out", op.inspect("look", items, look), TestingSink(out))
        run_main(flow)
    assert [item.symbols for item in out if isinstance(item, Subscribed)] == [("ETHUSDT",)]


@pytest.mark.parametrize("shards", [1, 3])
def test_what_the_venues_list_says_goes_into_the_stream_also_when_it_came_before_the_stream(shards: int) -> None:
    stop = threading.Event()
    out: list[Any] = []
    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "币安人生USDT")
    settings = Feed(
        symbols=("BTCUSDT",), streams=("aggTrade",), origin="replay", ws_url="ws://127.0.0.1:9", shards=shards
    )
    source = FeedSource(BinanceFeed(settings), settings=settings, stop=stop)
    source.announce(TradingStatus(symbols, "TRADING"))
    source.announce(TradingStatus(("ETHUSDT",), ""))
    later = TradingStatus(("BTCUSDT",), "HALT")
    announced = threading.Event()

    def look(_: str, item: Any) -> None:
        if isinstance(item, Disconnected) and not announced.is_set():
            announced.set()
            source.announce(later)
        elif item == later:
            stop.set()

    flow = Dataflow("test")
    items = op.input("source", flow, source)
    op.output("out", op.inspect("look", items, look), TestingSink(out))
    run_main(flow)
    statuses = [item for item in out if isinstance(item, TradingStatus)]
    assert statuses[-1] == later
    assert {symbol: item.status for item in statuses[:-1] for symbol in item.symbols} == {
        "BTCUSDT": "TRADING", "ETHUSDT": "", "XRPUSDT": "TRADING", "币安人生USDT": "TRADING",
    }  # fmt: skip


def test_a_venue_that_is_gone_does_not_keep_the_flow_from_ending() -> None:
    stop = threading.Event()
    out: list[Any] = []
    settings = Feed(symbols=("BTCUSDT",), streams=("aggTrade",), origin="replay", ws_url="ws://127.0.0.1:9")

    def look(_: str, item: Any) -> None:
        if isinstance(item, Disconnected):
            stop.set()

    flow = Dataflow("test")
    items = op.input("source", flow, FeedSource(BinanceFeed(settings), settings=settings, stop=stop))
    op.output("out", op.inspect("look", items, look), TestingSink(out))
    run_main(flow)
    assert [item.failures for item in out if isinstance(item, Disconnected)] == [1]


def test_the_doorbell_wakes_at_once_and_does_not_sleep_when_something_has_come() -> None:
    bell, woken = WakeEvent(), threading.Event()
    bell.wait(60, lambda: True)

    def wait() -> None:
        bell.wait(60, lambda: False)
        woken.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not woken.wait(0.01):
        bell.set()
    waiting.join()
