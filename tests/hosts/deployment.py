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
import msgspec
import polars as pl
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from flows.recovery import prepare
from flows.settings import Bus
from sinks.bus.client import connected
from sinks.bus.leases import bucket_of, key_of_subject, lease_of, shard_of_key, subject_of_key
from sinks.bus.stored import BusError
from sinks.bus.stored import Stored as Message
from sinks.bus.subjects import channel_of
from sinks.mongod.server import Mongod
from sinks.trades.reader import TradeReader
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.market.market import Market
from sources.replay.synthetic.market import SyntheticMarket
from tests.e2e.test_crash import SPEED, tape
from tests.fakes.candles import BEGIN
from tests.fakes.deployment import running_flow
from tests.fakes.nats import stored
from tests.fakes.twins import (
    MID_MINUTE_S,
    SYMBOLS,
    Stored,
    candles_of,
    closed_since,
    differences,
    is_proven,
    recovering,
    settings_for,
    trades_of,
)
from tests.fakes.witness import Witness
from tests.hosts.crowd import Crowd
from tests.hosts.host import MONGO, MONITOR, TOKEN, Host, mongo_uri, replica_set_of
from tests.hosts.network import namespaces

KINDS: Final = ("flow", "api", "nats", "mongo", "host", "partition")
PATIENCE_S: Final = 240.0
PARTITION_S: Final = 30.0
DATABASE: Final = "shared"
OF_ITS_SOURCE: Final = ("status", "first_id", "last_id", "proof", "revision")
"""What a candle says of where it is from; REST names no ids."""
FRAMES: Final = {"feed__timeframes": ["1m", "5m"]}


class Hosts:
    """The deployment."""

    def __init__(self, hosts: list[Host], exchange: ThreadedExchange, calm: Path, twin_uri: str, crowd: Crowd) -> None:
        self.hosts = hosts
        self.exchange = exchange
        self.crowd = crowd
        self._calm = calm
        self._twin_uri = twin_uri
        self.bus = Bus(url=tuple(one.nats for one in hosts), replicas=len(hosts))
        self.uri = mongo_uri([one.net for one in hosts])
        self.lost = ""
        """What was lost last, and what it led."""
        self.own: set[object] = set()
        """Candles that are the exchange's own, with its values, where the twin has made them of trades."""

    def named(self, name: str) -> Host:
        """A host."""
        return next(one for one in self.hosts if one.name == name)

    async def owners(self) -> dict[str, str]:
        """The owner of each shard, as far as the bucket can be read; by the newest lease that any server has, for one
        that was cut off has old ones.
        """
        found: dict[str, str] = {}
        for one in await self._newest_of(subject_of_key("marketflow", ">"), stream=bucket_of("marketflow")):
            lease, shard = lease_of(one.body), shard_of_key(key_of_subject("marketflow", one.subject))
            if lease and shard:
                found[shard] = lease.owner
        return found

    async def newest(self) -> dict[str, int]:
        """The newest published trade of each symbol."""
        return {data["symbol"]: data["trades"][-1]["id"] for data in await self._newest_trades()}

    async def _minute(self) -> float:
        """The minute of the market, by the newest published trade, in whole seconds."""
        times = [data["trades"][-1]["timestamp"] for data in await self._newest_trades()]
        return max(times, default=0) // 1_000 / 60

    async def _newest_trades(self) -> list[dict[str, Any]]:
        """What the newest message with trades of each symbol says, as far as the bus answers in time."""
        return [msgspec.json.decode(one.body)["data"] for one in await self._newest_of("mf.binance.*.Trade")]

    async def _newest_of(self, subject: str, *, stream: str = "") -> list[Message]:
        """The newest message of each subject, of what the servers have that answer in time."""

        async def at(url: str) -> list[Message]:
            with suppress(BusError, TimeoutError):
                async with asyncio.timeout(5), connected(Bus(url=(url,)), "test", stream=stream) as client:
                    return await client.newest(subject, wait_s=1.0)
            return []

        answers = await asyncio.gather(*map(at, self.bus.url))
        messages = sorted((one for some in answers for one in some), key=lambda one: one.seq)
        return [*{one.subject: one for one in messages}.values()]

    async def until(self, what: str, holds: Callable[[Any], bool], look: Callable[[], Awaitable[Any]]) -> Any:
        """Waits until what is looked at is so, and gives it."""
        found: Any = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not holds(found := await look()):
                    await asyncio.sleep(0.1)
                return found
        except TimeoutError:
            logs = "\n".join(f"--- {one.name}\n{one.said('flow')}" for one in self.hosts)
            raise AssertionError(f"not {what}: {found}\n{logs}") from None

    async def until_owned(self, *, without: str = "") -> None:
        """Waits until every shard has an owner that runs."""
        names = {one.name for one in self.hosts} - {without}
        await self.until(
            "owned", lambda owners: len(owners) == len(SYMBOLS) and {*owners.values()} <= names, self.owners
        )

    async def until_traded(self) -> None:
        """Waits until newer trades of every symbol are published."""
        known = await self.until("known", lambda newest: len(newest) == len(SYMBOLS), self.newest)
        await self.until("traded", lambda newest: all(newest.get(one, 0) > known[one] for one in SYMBOLS), self.newest)

    async def until_heard(self) -> None:
        """Waits until every client has newer trades of every symbol."""
        known = await self.until("known", lambda newest: len(newest) == len(SYMBOLS), self.newest)

        async def least() -> dict[str, int]:
            return {one: min(each.newest.get(one, 0) for each in self.crowd.members) for one in SYMBOLS}

        await self.until("heard", lambda found: all(found[one] >= known[one] for one in SYMBOLS), least)

    async def lose(self, kind: str, chance: random.Random) -> dict[str, float]:
        """Loses something, and brings it back. Gives the seconds until others had taken over, trades went on in the
        stream, and every client had some of those.
        """
        names = {one.name for one in self.hosts}
        owners = await self.until("owned", lambda found: bool({*found.values()} & names), self.owners)
        victim = self.named(chance.choice(sorted({*owners.values()} & names)))
        if kind == "api":
            victim = chance.choice(self.hosts)
        elif kind == "nats":
            victim = await self.until("led", bool, lambda: asyncio.to_thread(self.leader, "marketflow"))
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
            self.bus = Bus(url=tuple(one.nats for one in others), replicas=len(self.hosts))
            await self.until_owned(without=victim.name)
            found["taken_s"] = time.monotonic() - begun
        elif kind == "api":
            victim.kill("api")
        elif kind == "nats":
            victim.kill("nats")
            self.bus = Bus(url=tuple(one.nats for one in self.hosts if one is not victim), replicas=len(self.hosts))
        else:
            victim.kill("mongo")
        await self.until_traded()
        found["traded_s"] = time.monotonic() - begun
        await self.until_heard()
        found["heard_s"] = time.monotonic() - begun
        if kind == "partition":
            await asyncio.sleep(max(0.0, PARTITION_S - (time.monotonic() - begun)))
            victim.net.mend()
        else:
            await asyncio.sleep(chance.uniform(1.0, 5.0))
        victim.start()
        self.bus = Bus(url=tuple(one.nats for one in self.hosts), replicas=len(self.hosts))
        await self.until_owned()
        await self.until_traded()
        return found

    async def _described(self, victim: Host) -> str:
        led = [
            word
            for word, stream in (("stream", "marketflow"), ("bucket", bucket_of("marketflow")))
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
        begin = await self._minute()
        await self.until(
            "in the middle of a minute",
            lambda minute: minute > begin + minutes and round(minute % 1 * 60) in MID_MINUTE_S,
            self._minute,
        )

    async def compare(self, *, minutes: int = 2) -> list[str]:
        """So many minutes later stops the market, waits until all have everything, and gives what is not as it should
        be.
        """
        await self.until("shared out", lambda owners: len({*owners.values()}) == len(SYMBOLS), self.owners)
        await self.until_traded()  # what a new owner lacks shows by the first trade behind it
        await self.until_heard()
        await self.minutes_later(minutes)
        await asyncio.to_thread(self.exchange.pause)
        with contextlib.closing(Witness(self.exchange.rest_url)) as witness:
            made = {symbol: witness.newest_id(symbol) for symbol in SYMBOLS}

        begun = min(int(frame["time"][0]) for frame in trades_of(self._calm).values())

        def look() -> tuple[bool, Any]:
            """Whether the stores have everything, and what they have."""
            here = {symbol: max(_newest(one.folder, symbol) for one in self.hosts) for symbol in SYMBOLS}
            calm = {symbol: _newest(self._calm, symbol) for symbol in SYMBOLS}
            with suppress(PyMongoError):
                proven = is_proven(self.uri, DATABASE) and is_proven(self._twin_uri, "calm")
                closed = closed_since(self.uri, DATABASE, begun) ^ closed_since(self._twin_uri, "calm", begun)
                return proven and here == calm == made and not closed, (here, calm, made, proven, closed)
            return False, "the database does not answer"

        async def state() -> Any:
            are_stored, found = await asyncio.to_thread(look)
            seen = sum(one.newest == made for one in self.crowd.members)
            are_seen = seen == len(self.crowd.members) and await self.newest() == made
            behind = [one.newest for one in self.crowd.members if one.newest != made][:2]
            return are_stored and are_seen, found, seen, behind, self.crowd.wrong()[:5]

        await self.until("complete", lambda found: found[0], state)
        parts = [trades_of(one.folder) for one in self.hosts if (one.folder / "trades" / "binance").is_dir()]
        together = {
            symbol: pl.concat([part[symbol] for part in parts if symbol in part]).unique("id").sort("id")
            for symbol in SYMBOLS
        }
        expected = candles_of(self._twin_uri, "calm"), trades_of(self._calm)
        found = list(differences(_closed(expected), _closed((candles_of(self.uri, DATABASE), together))))
        self.own = {one[0] for one in found if one[1:] == ("status", "final", "venue")}
        wrong = [str(one) for one in found if one[0] not in self.own or one[1] not in OF_ITS_SOURCE]
        messages = [one for one in await stored(self.bus) if channel_of(one.subject) == "Trade"]
        for symbol in SYMBOLS:
            bodies = [msgspec.json.decode(one.body)["data"] for one in messages]
            ids = [row["id"] for body in bodies if body["symbol"] == symbol for row in body["trades"]]
            if ids != [*range(ids[0], ids[0] + len(ids))]:
                wrong.append(f"{symbol}: the stream has its trades not once and in order")
        wrong += await self._answers()
        return wrong + self.crowd.wrong()

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


def _closed(found: Stored) -> Stored:
    """Without the candles that form: of those not every version is stored."""
    return [one for one in found[0] if one["is_closed"]], found[1]


def _newest(folder: Path, symbol: str) -> int:
    path = folder / "trades" / "binance"
    if not path.is_dir():
        return 0
    with TradeReader(path) as reader:
        return reader.last_id(symbol) or 0


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
        exchange = stack.enter_context(
            exchange_in_thread(_market(per_s), speed=SPEED, paused=True, start_now=True, host=nets[0].exchange)
        )
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
        crowd = Crowd(hosts, clients)
        found = Hosts(hosts, exchange, calm, database.uri, crowd)
        await found.until_owned()
        await found.until("live", bool, lambda: _are_live(found))
        crowd.start()
        stack.push_async_callback(crowd.close)
        await found.until("connected", bool, lambda: _are_connected(crowd))
        exchange.resume()
        await found.until_traded()
        yield found
        assert flow.running, flow.said()[-2_000:]


def _market(per_s: float) -> Market:
    if not per_s:
        return tape(loop=True)
    return SyntheticMarket("spot", SYMBOLS, seed=7, start_ms=BEGIN, trades_per_s=per_s / len(SYMBOLS) / SPEED)


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


async def _are_live(hosts: Hosts) -> bool:
    """Whether each process of a shard says that its line is live."""
    with suppress(BusError):
        messages = [one for one in await stored(hosts.bus) if channel_of(one.subject) == "Status"]
        states = [msgspec.json.decode(one.body) for one in messages]
        live = {one["flow"] for one in states if one["data"].get("state") == "live"}
        return len(live) >= len(SYMBOLS)
    return False


async def _are_connected(crowd: Crowd) -> bool:
    return all(one.connections for one in crowd.members)
