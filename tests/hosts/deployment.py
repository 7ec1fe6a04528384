"""Three hosts, an exchange outside of them, an undisturbed twin, clients; what is lost, when, and what is left then."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from flows.recovery import prepare
from flows.settings import Bus
from sinks.bus.leases import bucket_of
from sinks.bus.stored import BusError
from sinks.bus.subjects import channel_of
from sinks.mongod.server import Mongod
from tests.fakes.deployment import running_flow
from tests.fakes.nats import stored
from tests.fakes.twins import MID_MINUTE_S, SYMBOLS, recovering, settings_for
from tests.fakes.witness import Witness
from tests.hosts.compare import Outcome, Place, Span, StreamSeen, compared, newest_stored
from tests.hosts.crowd import Crowd
from tests.hosts.exchange import Exchange
from tests.hosts.host import MONGO, MONITOR, TOKEN, Host, mongo_uri, replica_set_of
from tests.hosts.members import Key, news_of
from tests.hosts.network import namespaces
from tests.hosts.watch import STREAM, Watch

KINDS: Final = ("flow", "api", "nats", "mongo", "host", "partition")
PATIENCE_S: Final = 240.0
PARTITION_S: Final = 30.0
DATABASE: Final = "shared"
FRAMES: Final = {"feed__timeframes": ["1m", "5m"]}


class Hosts:
    """The deployment."""

    def __init__(self, hosts: list[Host], exchange: Exchange, calm: Path, twin_uri: str, crowd: Crowd) -> None:
        self.hosts = hosts
        self.exchange = exchange
        self.crowd = crowd
        self.bus = Bus(url=tuple(one.nats for one in hosts), replicas=len(hosts))
        self.watch = Watch([*self.bus.url])
        self.uri = mongo_uri([one.net for one in hosts])
        self.lost = ""
        """What was lost last, and what it led."""
        self.own: set[Key] = set()
        """Candles that are the exchange's own, with its values, where the twin has made them of trades."""
        self.compared = ""
        """What was compared last."""
        self._shared = Place([one.folder for one in hosts], self.uri, DATABASE)
        self._twin = Place([calm], twin_uri, calm.name)
        self._stream = StreamSeen()
        self._begun_ms = 0
        self._after, self._since_ms = dict[str, int](), 0

    def named(self, name: str) -> Host:
        """A host."""
        return next(one for one in self.hosts if one.name == name)

    async def until(self, what: str, holds: Callable[[Any], bool], look: Callable[[], Awaitable[Any]]) -> Any:
        """Waits until what is looked at is so, and gives it."""
        found: Any = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not holds(found := await look()):
                    await asyncio.sleep(0.2)
                return found
        except TimeoutError:
            logs = "\n".join(f"--- {one.name}\n{one.said('flow')}" for one in self.hosts)
            raise AssertionError(f"not {what}: {found}\n{logs}") from None

    async def until_owned(self, *, without: str = "") -> None:
        """Waits until every shard has an owner that runs."""
        names = {one.name for one in self.hosts} - {without}
        await self.until(
            "owned", lambda owners: len(owners) == len(SYMBOLS) and {*owners.values()} <= names, self.watch.owners
        )

    async def until_traded(self) -> None:
        """Waits until newer trades of every symbol are published."""
        known = await self.until("known", lambda newest: len(newest) == len(SYMBOLS), self.watch.newest)
        await self.until(
            "traded", lambda newest: all(newest.get(one, 0) > known[one] for one in SYMBOLS), self.watch.newest
        )

    async def until_seen(self) -> None:
        """Waits until every client has newer trades of every symbol."""
        known = await self.until("known", lambda newest: len(newest) == len(SYMBOLS), self.watch.newest)

        await self.until(
            "seen by all",
            lambda report: all(report.newest.get(one, 0) >= known[one] for one in SYMBOLS),
            self.crowd.report,
        )

    async def lose(self, kind: str, chance: random.Random) -> dict[str, float]:
        """Loses something, and brings it back. Gives the seconds until others had taken over, trades went on in the
        stream, and every client had some of those.
        """
        names = {one.name for one in self.hosts}
        owners = await self.until("owned", lambda found: bool({*found.values()} & names), self.watch.owners)
        victim = self.named(chance.choice(sorted({*owners.values()} & names)))
        if kind == "api":
            victim = chance.choice(self.hosts)
        elif kind == "nats":
            victim = await self.until("led", bool, lambda: asyncio.to_thread(self.leader, STREAM))
        elif kind == "mongo":
            victim = self.primary()
        self.lost = await self._described(victim)
        begun, found = time.monotonic(), dict[str, float]()
        if kind in ("flow", "host", "partition"):
            if kind == "partition":
                victim.net.cut()
            else:
                victim.kill(*(["flow"] if kind == "flow" else []))
            others = [one for one in self.hosts if one is not victim]
            self.watch.urls = [one.nats for one in others]
            await self.until_owned(without=victim.name)
            found["taken_s"] = time.monotonic() - begun
        elif kind == "api":
            victim.kill("api")
        elif kind == "nats":
            victim.kill("nats")
            self.watch.urls = [one.nats for one in self.hosts if one is not victim]
        else:
            victim.kill("mongo")
        await self.until_traded()
        found["traded_s"] = time.monotonic() - begun
        await self.until_seen()
        found["seen_s"] = time.monotonic() - begun
        if kind == "partition":
            await asyncio.sleep(max(0.0, PARTITION_S - (time.monotonic() - begun)))
            victim.net.mend()
        else:
            await asyncio.sleep(chance.uniform(1.0, 5.0))
        victim.start()
        self.watch.urls = [*self.bus.url]
        await self.until_owned()
        await self.until_traded()
        return found

    async def _described(self, victim: Host) -> str:
        led = [
            word
            for word, stream in (("stream", STREAM), ("bucket", bucket_of(STREAM)))
            if await asyncio.to_thread(self.leader, stream) is victim
        ]
        led += ["MongoDB"] if await asyncio.to_thread(self.primary) is victim else []
        return f"{victim.name}, which led {', '.join(led) or 'nothing'}"

    def leader(self, stream: str) -> Host | None:
        """The host whose server leads a stream; None while none of them does."""
        for one in self.hosts:
            with suppress(httpx.HTTPError, KeyError, StopIteration):
                answer = httpx.get(f"http://{one.net.inside}:{MONITOR}/jsz?streams=true", timeout=5).json()
                details = [each for account in answer["account_details"] for each in account["stream_detail"]]
                return self.named(next(each["cluster"]["leader"] for each in details if each["name"] == stream))
        return None

    def primary(self) -> Host:
        """The host whose database is the primary."""
        with MongoClient[dict[str, Any]](self.uri, serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("ping")
            assert client.primary
            return next(one for one in self.hosts if one.net.inside == client.primary[0])

    async def minutes_later(self, minutes: int) -> None:
        """Waits until so many minutes of the market are over, to the middle of one."""
        begin = await self.watch.minute()
        await self.until(
            "in the middle of a minute",
            lambda minute: minute > begin + minutes and round(minute % 1 * 60) in MID_MINUTE_S,
            self.watch.minute,
        )

    async def compare_so_far(self) -> list[str]:
        """Gives what is not as it should be of what has come since the last time, while the market goes on: waits until
        all have it, at most `PATIENCE_S`.
        """
        made = await asyncio.to_thread(self._made)
        span = Span(self._after, self._since_ms, made)
        wrong, outcome = await self._compare(span)
        self._after, self._since_ms = made, outcome.end_ms
        return wrong

    async def compare(self, *, minutes: int = 2) -> list[str]:
        """So many minutes later stops the market, waits until all have everything, at most `PATIENCE_S`, and gives what
        is not as it should be.
        """
        await self.until("shared out", lambda owners: len({*owners.values()}) == len(SYMBOLS), self.watch.owners)
        await self.until_traded()  # what a new owner lacks shows by the first trade behind it
        await self.until_seen()
        await self.minutes_later(minutes)
        await asyncio.to_thread(self.exchange.pause)
        made = await asyncio.to_thread(self._made)
        wrong, outcome = await self._compare(Span({}, 0, made, goes_on=False))
        self.own = outcome.own
        found = {symbol: newest_stored(self._shared, symbol) for symbol in SYMBOLS}
        if not found == self._stream.newest == made:
            wrong.append(f"made {made}, stored {found}, of the stream {self._stream.newest}")
        return wrong + await self._answers()

    def _made(self) -> dict[str, int]:
        """The exchange's newest trades."""
        with contextlib.closing(Witness(self.exchange.rest_url)) as witness:
            return {symbol: witness.newest_id(symbol) for symbol in SYMBOLS}

    async def _compare(self, span: Span) -> tuple[list[str], Outcome]:
        """What is wrong of a span when all have it, or patience is over; what is wrong for good is so at once."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE_S
        while True:
            wrong, outcome = await self._compare_now(span)
            report = await self.crowd.report()
            self.compared = outcome.said()
            if not wrong or report.wrong or self._stream.wrong or loop.time() > give_up:
                return report.wrong + self._stream.wrong + wrong, outcome
            await asyncio.sleep(0.5)

    async def _compare_now(self, span: Span) -> tuple[list[str], Outcome]:
        outcome = await asyncio.to_thread(compared, self._shared, self._twin, span, begun_ms=self._begun_ms)
        self._begun_ms = self._begun_ms or outcome.begin_ms
        report = await self.crowd.report()
        await self._read_stream()
        wrong = [*outcome.wrong]
        for who, newest in (("a client", report.newest), ("the stream", self._stream.newest)):
            if any(newest.get(symbol, 0) < last for symbol, last in span.until.items()):
                wrong.append(f"{who} has {newest} of {span.until}")
        wrong += [f"candle {one} is not in the stream" for one in sorted(outcome.closed - self._stream.closed.keys())]
        return wrong + await self.crowd.candles_differ(self._stream.closed, report.least_seq), outcome

    async def _read_stream(self) -> None:
        """What has been published since the last time."""
        with suppress(BusError):
            for one in await stored(self.bus, after=self._stream.seq):
                if channel_of(one.subject) in ("Trade", "ChartUpdate"):
                    self._stream.take(one.seq, news_of(one.body))

    async def _answers(self) -> list[str]:
        """Every interface answers the same."""
        wrong = []
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            for symbol in SYMBOLS:
                for path in (f"/api/trades?symbol={symbol}&limit=2000", f"/api/bars/{symbol}?size=1m&limit=500"):
                    answers = [(await client.get(f"{one.url}{path}")).json() for one in self.hosts]
                    if not all(one.get("success") for one in answers):
                        wrong.append(f"{path}: {[one.get('error') for one in answers]}")
                    elif any(one["data"] != answers[0]["data"] for one in answers):
                        wrong.append(f"{path}: the interfaces do not answer the same")
        return wrong


@asynccontextmanager
async def deployment(
    folder: Path, *, clients: int, per_s: float = 0.0, prefix: str = "mf", count: int = 3
) -> AsyncIterator[Hosts]:
    """Everything while entered, with trades on their way: a recording, or a made market of so many trades a second."""
    calm = folder / "calm"
    calm.mkdir(parents=True)
    prepare(calm / "recovery")
    async with AsyncExitStack() as stack:
        nets = stack.enter_context(namespaces(prefix, count))
        exchange = stack.enter_context(contextlib.closing(Exchange(nets[0].exchange, per_s)))
        database = Mongod(folder / "mongod", port=0)
        stack.callback(database.stop)
        await asyncio.to_thread(database.wait_ready)
        settings = settings_for(folder, exchange, mongo_uri(nets)) | FRAMES | {
            "feed__shard": "auto", "mongo__database": DATABASE, "log__format": "json", "metrics__enabled": False,
            "bus__url": [f"nats://{one.inside}:4222" for one in nets], "bus__replicas": count,
            "bus__shards": len(SYMBOLS), "hub__ring": 1_000_000,
        }  # fmt: skip
        hosts = [Host(net, folder / net.name, peers=nets, settings=settings) for net in nets]
        for one in hosts:
            stack.callback(one.kill)
            one.start("nats", "mongo")
        await _initiate(hosts)
        for one in hosts:
            one.start("flow", "api")
        flow = await stack.enter_async_context(
            running_flow(calm, *recovering(calm), **settings_for(calm, exchange, database.uri) | FRAMES)
        )
        crowd = stack.enter_context(contextlib.closing(Crowd(hosts, clients)))
        found = Hosts(hosts, exchange, calm, database.uri, crowd)
        stack.push_async_callback(found.watch.close)
        await found.until_owned()
        await found.until("live", lambda flows: len(flows) >= len(SYMBOLS), found.watch.live)
        await crowd.start()
        await found.until("connected", lambda report: report.connected == clients, crowd.report)
        exchange.resume()
        await found.until_traded()
        yield found
        assert flow.running, flow.said()[-2_000:]


async def _initiate(hosts: list[Host]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await asyncio.to_thread(_initiate_once, hosts)
            except PyMongoError:
                await asyncio.sleep(0.2)
            else:
                return


def _initiate_once(hosts: list[Host]) -> None:
    address = f"mongodb://{hosts[0].net.inside}:{MONGO}"
    with MongoClient[dict[str, Any]](address, directConnection=True, serverSelectionTimeoutMS=2_000) as client:
        client.admin.command("replSetInitiate", replica_set_of(hosts))
