"""Live and stored candles: with any disconnects, every candle is there once, in its newest version, in order."""

import asyncio
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.streams import StreamReader

from api.http.errors import Problem
from api.live.candle_cache import SeriesKey, newest_versions
from api.live.hub_protocol import HubProtocol, Joined
from api.live.messages import HubMessage, candle_of
from api.live.view import DEFAULT_CHANNELS, LiveView
from api.stores.history import History
from flows.clock import Now
from flows.model import Candle
from flows.settings import Hub as HubSettings
from sinks.hub.auth import HandshakeRequest, authorize
from sinks.hub.client import Client
from sinks.hub.policy import Hub
from tests.fakes.candles import BEGIN, candle, forming

KEY = SeriesKey("binance", "BTCUSDT", "1m")
STEP_MS = 10_000
"""Time between two versions: longer than the store needs to take one."""


class Store:
    """Holds every version it was given; or is down."""

    def __init__(self, candles: list[Candle] | None = None) -> None:
        self.held = candles or []
        self.reads = 0
        self.away = False

    async def candles(
        self, key: SeriesKey, *, count: int, start_ms: int = 0, before_ms: int | None = None
    ) -> list[Candle]:
        assert key == KEY
        self.reads += 1
        if self.away:
            raise Problem("store_unavailable", "away")
        end_ms = before_ms or 1 << 60
        return [one for one in newest_versions(self.held) if start_ms <= one.open_time < end_ms][-count:]


class Program:
    """A program that reads the last candles and follows: it reads again whenever it may have missed something."""

    def __init__(self, hub: Hub, store: Store, *, size: int) -> None:
        self.hub = hub
        self.now = Now(BEGIN, 0)
        self.protocol = HubProtocol("ws://hub", DEFAULT_CHANNELS)
        self.live = LiveView(cache_size=size, local_ms=lambda: self.now.local)
        self.history = History(store, self.live.candles, local_ms=lambda: self.now.local)
        self.size = size
        self.known: list[Candle] = []
        self.published: list[tuple[int, int]] = []
        self.line: Client | None = None

    def connect(self) -> None:
        target = f"/ws?{urlencode(self.protocol.begin())}"
        settings = HubSettings()
        subscription, resume_after = authorize(
            HandshakeRequest(target, [], []), settings, venues=("binance",), clients=0
        )
        self.line = self.hub.join(self, self.now, encoding="json", subscription=subscription, resume_after=resume_after)
        self.hub.on_request(self.line, self.protocol.request(), self.now)

    def cut(self) -> None:
        if self.line:
            self.hub.leave(self.line)
            self.line = None

    def write_frames(self, frames: bytes) -> bool:
        reader = StreamReader()
        reader.feed_data(frames)
        while reader.buffer:
            parsing = Frame.parse(reader.read_exact, mask=False)
            try:
                next(parsing)
            except StopIteration as done:
                self.on_frame(bytes(done.value.data).decode())
        return True

    def begin_close(self, code: int, reason: str) -> None:
        raise AssertionError(reason)

    def on_frame(self, frame: str) -> None:
        for event in self.protocol.on_frame(frame):
            self.live._on_event(event)
            if isinstance(event, Joined) and not event.resumed:
                self.live.candles.invalidate(event.venue, self.now.local)
                self.known = newest_versions(self.known, asyncio.run(self.history.newest(KEY, self.size)))
            elif isinstance(event, HubMessage) and event.channel == "Candle":
                published = candle_of(event.body, venue="binance")
                self.known = newest_versions(self.known, [published])
                self.published.append((event.seq, published.open_time))


class Moment(NamedTuple):
    """A message of the hub, and what happens to the connection before."""

    version: Candle
    line: str


@st.composite
def moments(draw: st.DrawFn) -> list[Moment]:
    versions: list[Candle] = []
    for minute in range(draw(st.integers(1, 12))):
        runs = draw(st.integers(0, 2))
        versions += [forming(minute, last_id=1_000 + run) for run in range(runs)]
        versions.append(candle(minute, close=float(minute)))
        if draw(st.booleans()):
            amended = draw(st.integers(0, minute))
            versions.append(candle(amended, close=0.5, revision=1, status="repaired"))
    lines = st.sampled_from(["goes on", "goes on", "is cut", "comes back"])
    return [Moment(version, draw(lines)) for version in versions]


@given(moments(), st.integers(0, 6), st.integers(12, 40))
def test_the_last_candles_and_what_follows_are_every_candle_once_in_order(
    course: list[Moment], ring: int, size: int
) -> None:
    before = [candle(minute) for minute in range(-size, 0)]
    store = Store(list(before))
    hub = Hub(HubSettings(ring=ring), origins={"binance": "replay"}, first_seq=1_000)
    client = Program(hub, store, size=size)
    client.connect()
    for number, moment in enumerate(course):
        client.now = Now(BEGIN + number * STEP_MS, number * STEP_MS)
        if moment.line == "is cut":
            client.cut()
        elif moment.line == "comes back" and client.line is None:
            client.connect()
        hub.publish([moment.version], client.now)
        hub.flush(client.now)
        store.held.append(moment.version)
    if client.line is None:
        client.connect()
    truth = newest_versions(before, [moment.version for moment in course])
    assert _figures(client.known) == _figures(truth)
    assert client.published == sorted(client.published)
    assert len({seq for seq, _ in client.published}) == len(client.published)
    client.now = Now(0, client.now.local + STEP_MS)
    for count in (1, 3, size):
        assert _figures(asyncio.run(client.history.newest(KEY, count))) == _figures(truth)[-count:]


def _figures(candles: list[Candle]) -> list[tuple[int, float, int, bool]]:
    return [(one.open_time, one.close, one.revision, one.is_closed) for one in candles]


@pytest.fixture
def store() -> Store:
    return Store([candle(minute) for minute in range(20)])


async def test_the_memory_answers_after_the_first_question(store: Store) -> None:
    live = LiveView(cache_size=10)
    history = History(store, live.candles)
    assert await history.newest(KEY, 5) == store.held[-5:]
    assert await history.newest(KEY, 10) == store.held[-10:]
    assert await history.newest(KEY, 3, before_ms=store.held[-2].open_time) == store.held[-5:-2]
    assert store.reads == 1
    assert (live.candles.counters.hits, live.candles.counters.misses) == (2, 1)


async def test_what_is_older_than_the_memory_comes_from_the_store(store: Store) -> None:
    history = History(store, LiveView(cache_size=10).candles)
    assert await history.newest(KEY, 15) == store.held[-15:]
    assert await history.newest(KEY, 4, before_ms=store.held[6].open_time) == store.held[2:6]


async def test_the_forming_candle_is_laid_over_what_is_stored(store: Store) -> None:
    live = LiveView(cache_size=10)
    history = History(store, live.candles)
    store.held.append(forming(20, last_id=1_001))
    published = forming(20, last_id=1_009)
    live.candles.put(published, 0)
    assert (await history.newest(KEY, 2))[-1] == published
    between = await history.between(KEY, store.held[18].open_time, published.open_time + 1, 10)
    assert between == [*store.held[18:20], published]


async def test_without_the_store_complete_ranges_are_read_from_memory(store: Store) -> None:
    now_ms = 0
    live = LiveView(cache_size=10)
    history = History(store, live.candles, local_ms=lambda: now_ms)
    await history.warm([KEY])
    store.away, now_ms = True, 10_000_000
    assert await history.newest(KEY, 5) == store.held[-5:]
    with pytest.raises(Problem, match="away"):
        await history.newest(KEY, 15)
    live.candles.invalidate("binance", now_ms)
    with pytest.raises(Problem, match="away"):
        await history.newest(KEY, 5)


async def test_repeated_reads_are_answered_from_memory(store: Store) -> None:
    now_ms = 0
    live = LiveView(cache_size=10)
    history = History(store, live.candles, local_ms=lambda: now_ms)
    assert await history.newest(KEY, 5, from_memory=True) == store.held[-5:]
    now_ms = 10_000_000
    assert await history.newest(KEY, 5, from_memory=True) == store.held[-5:]
    assert store.reads == 1
    live.candles.invalidate("binance", now_ms)
    store.held[-1] = candle(19, revision=1)
    assert await history.newest(KEY, 5, from_memory=True) == store.held[-5:]
    assert store.reads == 2


async def test_with_candles_missing_in_memory_every_read_goes_to_the_store(store: Store) -> None:
    history = History(store, LiveView(cache_size=30).candles)
    assert await history.newest(KEY, 25, from_memory=True) == store.held
    store.held.insert(0, candle(-1))
    assert await history.newest(KEY, 25, from_memory=True) == store.held


async def test_a_store_that_is_away_at_the_start_is_no_end(store: Store) -> None:
    store.away = True
    history = History(store, LiveView(cache_size=10).candles)
    await history.warm([KEY])
    store.away = False
    assert len(await history.newest(KEY, 5)) == 5
