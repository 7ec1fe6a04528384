"""A deployment on an exchange that can be made to say wrong things, and a comparison of all that is stored with what
the exchange says itself.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient
from websockets.asyncio.client import ClientConnection, connect

from flows.model import Candle, Kline, timeframe_ms
from flows.process.proxy import trusted_by
from flows.recovery import prepare
from sinks.trades.reader import TradeReader
from sources.replay.exchange.dialect import Dialect
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.faults.orders import AnyFault
from sources.replay.market.market import Market
from sources.replay.market.player import Speed
from tests.fakes.deployment import RunningFlow, Server, flow_settings, free_port, running_flow, running_interface
from tests.fakes.exposition import samples
from tests.fakes.twins import recovering
from tests.fakes.waiting import rest_after
from tests.fakes.witness import ClosingExchange, Exchange, Witness, disagreements, stored_candles, stored_trades

SYMBOLS = ("BTCUSDT", "ETHUSDT")
TIMEFRAMES = ("1s", "1m")
CHANNELS = ("Trade", "MarketData", "Candle", "ChartUpdate", "OrderBook", "Incident", "Status")
PATIENCE_S = 240
"""Longest wait for what should take a moment: a bound for broken runs, not a measure."""
PACED_S = 4.0
"""After so long at one pace the local clock is a witness of the venue's time."""
SETTLED_MS = 4_000
"""A candle that ended so long before the newest trade has been closed."""
UNNOTICED_MS = 6_000
"""A market that stands still is silent after that at the latest; until then it may just not have traded."""
CLOSED = ("final", "repaired", "venue")
"""What a closed candle is when it is the exchange's."""

Message = dict[str, Any]
Wanted = Callable[[Message], bool]


class Listener:
    """A client of the hub that reads all the time, and keeps what it got in order."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._arrived = asyncio.Event()

    async def read(self, hub: ClientConnection) -> None:
        """Reads until the hub goes away; snapshots count as the messages in them."""
        async for text in hub:
            message: Message = json.loads(text)
            parts = message["data"]["messages"] if message["type"] == "Snapshot" else [message]
            self.messages += parts
            self._arrived.set()

    async def until(self, wanted: Wanted, *, since: int = 0) -> Message:
        """The first message from a place on that is as wanted; waits for it."""
        place = since
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while place < len(self.messages):
                    if wanted(self.messages[place]):
                        return self.messages[place]
                    place += 1
                self._arrived.clear()
                await self._arrived.wait()

    @property
    def place(self) -> int:
        """Behind the newest message."""
        return len(self.messages)

    def of_type(self, kind: str, *, since: int = 0) -> list[Message]:
        """The data of the messages of a type."""
        return [message["data"] for message in self.messages[since:] if message["type"] == kind]


class Deployment:
    """A flow on an exchange, a client of its hub, the interface, and a witness that asks the exchange."""

    flow: RunningFlow
    interface: Server

    def __init__(
        self, exchange: ThreadedExchange, witness: Exchange, folder: Path, mongod_uri: str, settings: dict[str, Any]
    ) -> None:
        self.exchange = exchange
        self.witness = witness
        self.folder = folder
        self.listener = Listener()
        self._lives: list[Listener] = []
        self.venue: str = settings.get("feed__venue", "binance")
        self.symbols: list[str] = settings["feed__symbols"]
        self.timeframes: list[str] = settings["feed__timeframes"]
        self.database: str = settings["mongo__database"]
        self._mongod_uri = mongod_uri
        self.settings = settings
        self._life = AsyncExitStack()
        self._http = httpx.AsyncClient(timeout=PATIENCE_S, verify=trusted_by("http://127.0.0.1"))

    @property
    def store(self) -> Path:
        """The trade store."""
        return self.folder / "trades" / self.venue

    # --- life ---

    async def start(self) -> None:
        """Starts the flow and listens to it; returns when its lines are live."""
        listener = self.listener = Listener()
        self._lives.append(listener)
        flags = recovering(self.folder)
        self.flow = await self._life.enter_async_context(running_flow(self.folder, *flags, **self.settings))
        hub = await self._life.enter_async_context(connect(self.flow.hub_url, max_size=None, ping_interval=None))
        task = asyncio.create_task(listener.read(hub))
        self._life.push_async_callback(_ended, task)
        await hub.send(json.dumps({"op": "subscribe", "channels": CHANNELS}))
        live: set[str] = set()
        lines = 1 + bool({"depth", "bookTicker"} & set(self.settings["feed__streams"]))

        def is_live(message: Message) -> bool:
            data = message["data"]
            if message["type"] == "Status" and "line" in data and data["state"] == "live":
                live.add(data["line"])
            return len(live) >= lines

        await listener.until(is_live)

    async def serve(self) -> None:
        """Starts the interface."""
        self.interface = await self._life.enter_async_context(running_interface(self.folder, **self.settings))

    async def end(self, *, kill: bool = False) -> None:
        """Ends the flow, as the power does or in good order."""
        if kill:
            await self.flow.kill()
        else:
            assert await self.flow.stop() == 0, self.flow.said()
        assert "Traceback" not in self.flow.said(), self.flow.said()

    async def aclose(self) -> None:
        """Ends what runs."""
        await self._http.aclose()
        await self._life.aclose()

    # --- what is seen ---

    async def ask(self, path: str) -> Any:
        """What the interface answers."""
        answer = (await self._http.get(f"{self.interface.url}{path}")).json()
        assert answer["success"], answer
        return answer["data"]

    async def answered(self, path: str) -> Any:
        """The same, or None while the interface does not know it."""
        return (await self._http.get(f"{self.interface.url}{path}")).json()["data"]

    async def is_ready(self) -> bool:
        """Whether the interface says so."""
        return (await self._http.get(f"{self.interface.url}/health/ready")).status_code == httpx.codes.OK

    async def refused(self) -> int:
        """Messages that were refused since the flow's start."""
        url = f"http://127.0.0.1:{self.settings['metrics__port']}/metrics"
        values = samples((await self._http.get(url)).text)
        return int(sum(value for (name, *_), value in values.items() if name == "market_data_errors_total"))

    def reasons(self) -> list[str]:
        """Why messages were refused, as the log and the ledger say."""
        entries = [json.loads(line) for line in self.flow.said().splitlines() if line.startswith("{")]
        logged = [entry["last_reason"] for entry in entries if entry.get("event") == "messages_refused"]
        return logged + [one["cause"] for one in self.listener.of_type("Incident") if one["kind"] == "reject"]

    async def incident(self, kind: str, *words: str, since: int = 0) -> Message:
        """Waits for an incident of a kind that contains these words."""

        def is_it(message: Message) -> bool:
            data = message["data"]
            return (
                message["type"] == "Incident"
                and data["kind"] == kind
                and all(word in f"{data['cause']} {data['outcome']} {data['symbol']}" for word in words)
            )

        data: Message = (await self.listener.until(is_it, since=since))["data"]
        return data

    async def inject(self, fault: AnyFault) -> None:
        """Orders a fault."""
        await asyncio.to_thread(self.exchange.inject, fault)

    async def refuses(self, fault: AnyFault, *, least: int = 1) -> None:
        """Orders a fault; waits until messages were refused for it, and everything goes on behind them."""
        before = await self.refused()
        await self.inject(fault)

        async def has_refused() -> bool:
            return await self.refused() >= before + least

        await self.until_so(has_refused)
        await self.goes_on()

    async def goes_on(self, *, skew_ms: int = 0) -> None:
        """Waits until the price and the trades of every symbol are of now; the exchange's clock is wrong by `skew_ms`,
        and the times of its trades are not.
        """
        since = self.listener.place
        now_ms = await asyncio.to_thread(self.witness.server_time) - skew_ms
        for symbol in self.symbols:
            for time_of in (_price_time, _trade_time):
                await self.listener.until(partial(_is_from, now_ms, symbol, time_of), since=since)

    async def until_so(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Waits for something that is asked for."""
        async with asyncio.timeout(PATIENCE_S):
            begun = time.monotonic()
            while not await is_so():
                await rest_after(begun, least_s=0.05)
                begun = time.monotonic()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Waits for something that is looked up on a thread."""

        async def on_thread() -> bool:
            return await asyncio.to_thread(is_so)

        await self.until_so(on_thread)

    async def becomes_ready(self, *, ready: bool = True) -> None:
        """Waits until the interface says that it is ready, or that it is not."""

        async def is_so() -> bool:
            return await self.is_ready() is ready

        await self.until_so(is_so)

    async def book_is_right(self, symbol: str) -> None:
        """Waits until the hub has shown a book as the exchange has it at that very update."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self._shows_the_book(symbol):
                await asyncio.sleep(0.05)

    async def _shows_the_book(self, symbol: str) -> bool:
        since = max(0, self.listener.place - 50)  # what REST tells was sent, and may have been shown, a moment ago
        theirs = await asyncio.to_thread(self.witness.book, symbol)

        def is_as_new(message: Message) -> bool:
            data = message["data"]
            return (
                message["type"] == "OrderBook"
                and data["symbol"] == symbol
                and (data["update_id"] >= theirs.update_id or not data["synced"])
            )

        ours = (await self.listener.until(is_as_new, since=since))["data"]
        if not ours["synced"] or ours["update_id"] != theirs.update_id:
            return False
        assert (ours["bids"], ours["asks"]) == (theirs.bids, theirs.asks)
        return True

    def states(self, *, since: int) -> set[str]:
        """The states of trades that the flow has named from a place on."""
        said = [one for one in self.listener.of_type("Status", since=since) if "channels" in one]
        return {part["state"] for one in said for part in one["channels"] if part["channel"] == "trades"}

    async def becomes(self, symbol: str, state: str) -> None:
        """Waits until the trades of an instrument are said to be in a state."""

        async def is_so() -> bool:
            states = self.states_in_turn(symbol, since=0)
            return bool(states) and states[-1][0] == state

        await self.until_so(is_so)

    def states_in_turn(self, symbol: str, *, channel: str = "trades", since: int) -> list[tuple[str, str]]:
        """The states of a channel that the flow has named one after the other, each with its first reason."""
        said = [one for one in self.listener.of_type("Status", since=since) if one.get("symbol") == symbol]
        parts = [part for one in said for part in one["channels"] if part["channel"] == channel]
        return [
            (part["state"], part["reason"])
            for before, part in zip([None, *parts], parts, strict=False)
            if before is None or before["state"] != part["state"]
        ]

    # --- what is stored ---

    async def assert_stored(self, *, may_be_early: bool = False) -> None:
        """Stops the market, ends the flow, and compares all that is stored with what the exchange says. Wrong times of
        trades close candles that `may_be_early`.
        """
        await asyncio.to_thread(self.exchange.pause)
        await asyncio.to_thread(self.exchange.clear_faults)
        await self.until(self._has_all_trades)
        await self.until(lambda: not self.candles_that_differ())
        await self.end()
        differing = self._trades_that_differ()
        assert differing == [], differing
        assert may_be_early or not (early := self.candles_that_were_early()), early
        self._assert_candles()

    def _has_all_trades(self) -> bool:
        return not self._trades_that_differ()

    def _trades_that_differ(self) -> list[tuple[Any, ...]]:
        """What is stored and not the exchange's, or the other way round."""
        found: list[tuple[Any, ...]] = []
        for symbol in self.symbols:
            ours = stored_trades(self.store, symbol)
            theirs = self.witness.aggregates(symbol, ours[0][0])
            if theirs[-1] not in ours:
                theirs.pop()  # REST knows one message more than the streams when the market is stopped in between
            found += [(symbol, *row) for row in set(ours) ^ set(theirs)]
            if len(ours) != len(theirs):
                found.append((symbol, len(ours), len(theirs)))
        return found

    def _assert_candles(self) -> None:
        differing = self.candles_that_differ()
        assert differing == [], differing
        now_ms = self.witness.server_time()
        for symbol in self.symbols:
            trades = stored_trades(self.store, symbol)
            for timeframe in self.timeframes:
                candles = self.candles(symbol, timeframe)
                invented = [one.open_time - now_ms for one in candles if one.open_time > now_ms + UNNOTICED_MS]
                assert invented == [], (symbol, timeframe, invented)
                times = [one.open_time for one in candles]
                begin = trades[0][1]
                assert times == list(range(times[0], times[-1] + 1, timeframe_ms(timeframe))), "a period is missing"
                odd = [
                    (symbol, timeframe, one.open_time, one.status, one.proof)
                    for one in candles
                    if one.is_closed and one.status not in CLOSED and one.open_time > begin
                ]
                assert odd == [], odd

    def stored_symbols(self) -> set[str]:
        """Of what there are trades or candles."""
        with TradeReader(self.store) as reader, MongoClient[dict[str, Any]](self._mongod_uri) as client:
            return {*reader.symbols(), *client[self.database]["market_data"].distinct("symbol")}

    def newest_candle_ms(self) -> int:
        """Begin of the newest period that is stored."""
        return max(self.candles(symbol, name)[-1].open_time for symbol in self.symbols for name in self.timeframes)

    def candles(self, symbol: str, timeframe: str) -> list[Candle]:
        """What is stored."""
        return stored_candles(self._mongod_uri, self.database, symbol, timeframe, venue=self.venue)

    def candles_that_differ(self) -> list[tuple[Any, ...]]:
        """Closed periods whose stored candle is not the exchange's, or is missing."""
        found: list[tuple[Any, ...]] = []
        for symbol in self.symbols:
            trades = stored_trades(self.store, symbol)
            begin, end = trades[0][1], trades[-1][1] - SETTLED_MS
            for timeframe in self.timeframes:
                klines = self._klines(symbol, timeframe, begin, end)
                found += [(symbol, timeframe, *one) for one in disagreements(self.candles(symbol, timeframe), klines)]
        return found

    def candles_that_were_early(self) -> list[tuple[Any, ...]]:
        """Candles that were published as final with another number of trades than the exchange's own."""
        begin = min(stored_trades(self.store, symbol)[0][1] for symbol in self.symbols)
        trades = {
            (symbol, timeframe, kline.open_time): kline.trades
            for symbol in self.symbols
            for timeframe in self.timeframes
            for kline in self._klines(symbol, timeframe, begin, 2 << 42)
            if kline.trades >= 0
        }
        return [
            (*key, candle["trades"], trades[key])
            for listener in self._lives
            for one in listener.of_type("Candle")
            if (candle := one["candle"])["is_closed"] and candle["status"] == "final"
            if (key := (one["symbol"], one["timeframe"], candle["timestamp"])) in trades
            if candle["trades"] != trades[key]
        ]

    def _klines(self, symbol: str, timeframe: str, begin: int, end: int) -> list[Kline]:
        length = timeframe_ms(timeframe)
        klines = self.witness.klines(symbol, timeframe, begin // length * length)
        return [kline for kline in klines if kline.open_time + length <= end]


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


def _is_from(time_ms: int, symbol: str, time_of: Callable[[Message, str], int], message: Message) -> bool:
    return time_of(message, symbol) >= time_ms


def _price_time(message: Message, symbol: str) -> int:
    data = message["data"]
    is_it = message["type"] == "MarketData" and data["symbol"] == symbol
    return int(data["timestamp"]) if is_it else 0


def _trade_time(message: Message, symbol: str) -> int:
    data = message["data"]
    is_it = message["type"] == "Trade" and data["symbol"] == symbol
    return int(data["trades"][-1]["timestamp"]) if is_it else 0


@asynccontextmanager
async def playing(
    folder: Path,
    mongod_uri: str,
    market: Market,
    *,
    speed: Speed = 1.0,
    dialect: Dialect | None = None,
    witness_of: Callable[[str], ClosingExchange] = Witness,
    ws_path: str = "",
    **settings: Any,
) -> AsyncIterator[Deployment]:
    """A flow that is live on a market that has just begun. `witness_of` takes the address of REST; `ws_path` is that of
    the streams.
    """
    folder.mkdir()
    prepare(folder / "recovery")
    with (
        exchange_in_thread(market, dialect=dialect, speed=speed, paused=True, start_now=True) as exchange,
        closing(witness_of(exchange.rest_url)) as witness,
    ):
        usual: dict[str, Any] = {
            "feed__origin": "synthetic",
            "feed__ws_url": f"{exchange.ws_url}{ws_path}",
            "feed__symbols": list(SYMBOLS),
            "feed__timeframes": list(TIMEFRAMES),
            "feed__streams": ["aggTrade", "kline", "ticker", "depth", "bookTicker"],
            "feed__backoff_min_s": 0.1,
            "feed__open_timeout_s": 60,
            "feed__proof_grace_ms": 500,
            "feed__close_grace_ms": 60_000,  # a busy machine makes messages late
            "feed__request_pause_ms": 0,
            "feed__kline_limit": 5,
            "books__every_ms": 0,
            # the server is shared by the tests of a worker, some of which have folders of the same name
            "mongo__database": f"{folder.parent.name}_{folder.name}",
            "mongo__retention": False,
            "hub__port": free_port(),
            "metrics__enabled": True,
            "metrics__port": free_port(),
        }
        chosen = flow_settings(folder, exchange.rest_url, mongod_uri, **(usual | settings))
        async with aclosing(Deployment(exchange, witness, folder, mongod_uri, chosen)) as deployment:
            await deployment.start()
            exchange.resume()
            await deployment.goes_on()
            await asyncio.sleep(PACED_S / (1.0 if speed == "max" else speed))
            yield deployment
