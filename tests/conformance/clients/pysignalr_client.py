"""pysignalr against the SignalR hub: python pysignalr_client.py URL TOKEN; one line of JSON for each step."""

import asyncio
import json
import sys
from typing import Any

from pysignalr.client import SignalRClient
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol

WAYS = {"json": JSONProtocol, "messagepack": MessagepackProtocol}


async def run(url: str, token: str, name: str, last: float) -> None:
    def say(**step: Any) -> None:
        sys.stdout.write(json.dumps({"name": name, **step}) + "\n")
        sys.stdout.flush()

    client = SignalRClient(url, protocol=WAYS[name](), headers={"Authorization": f"Bearer {token}"})
    answers: asyncio.Queue[Any] = asyncio.Queue()
    is_done = asyncio.Event()

    async def show(arguments: list[dict[str, Any]]) -> None:
        say(push=[arguments[0]["symbol"], arguments[0]["price"]])
        if arguments[0]["price"] == last:
            is_done.set()

    async def known(_: Any) -> None:
        """The answer of a call that fails comes here too, and the client ends where nothing takes it."""

    async def walk() -> None:
        await client.send("GetPrices", [["BTCUSDT"]], answers.put)
        say(prices=[price["symbol"] for price in (await answers.get()).result])
        await client.send("GetCandles", ["NOSUCH", "1m"], answers.put)
        say(refused=(await answers.get()).error)
        await client.stream("StreamPrices", [["ETHUSDT"]], answers.put, answers.put, answers.put)
        say(item=(await answers.get())["price"])
        await client.send("Subscribe", [["MarketData"], ["btc/usdt"], None, None], answers.put)
        say(channels=(await answers.get()).result["channels"])
        await is_done.wait()

    async def begin() -> None:
        walking.append(asyncio.create_task(walk()))

    walking: list[asyncio.Task[None]] = []
    client.on_open(begin)
    client.on_error(known)
    client.on("PriceUpdate", show)
    running = asyncio.create_task(client.run())
    while not walking:
        await asyncio.sleep(0.01)
    await walking[0]
    running.cancel()
    await asyncio.wait([running])
    say(is_done=True)


async def main() -> None:
    for number, way in enumerate(WAYS):
        await run(sys.argv[1], sys.argv[2], way, 777.0 + number)


asyncio.run(main())
