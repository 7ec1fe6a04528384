"""Waits until a closed candle has come over the hub and is in MongoDB, as a stranger would see it:
`python -m tests.closed_candle HUB_URL MONGO_URI [SECONDS]`. Exit code 1 when that takes longer.
"""

import asyncio
import contextlib
import json
import sys
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

LONGEST_S = 180.0
_LOOK_S = 0.5


async def closed_on_hub(url: str) -> dict[str, Any]:
    """The first `ChartUpdate` with a closed candle."""
    while True:
        with contextlib.suppress(OSError, WebSocketException):
            async with connect(f"{url}?channels=ChartUpdate&timeframes=1m") as hub:
                async for message in hub:
                    update: dict[str, Any] = json.loads(message)
                    if update["type"] == "ChartUpdate" and update["data"]["candle"]["is_closed"]:
                        return update
        await asyncio.sleep(_LOOK_S)


async def stored(uri: str, database: str, symbol: str) -> dict[str, Any]:
    """A closed minute of the symbol in MongoDB."""
    wanted = {"symbol": symbol, "timeframe": "1m", "is_closed": True, "status": {"$ne": "venue"}}
    async with AsyncMongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=1_000) as client:
        while True:
            with contextlib.suppress(PyMongoError):
                if (found := await client[database]["market_data"].find_one(wanted)) is not None:
                    return found
            await asyncio.sleep(_LOOK_S)


async def seen(
    hub_url: str, mongo_uri: str, database: str, *, within_s: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The closed candle of the hub, and one of its symbol in the store. `TimeoutError` without."""
    async with asyncio.timeout(within_s):
        update = await closed_on_hub(hub_url)
        return update, await stored(mongo_uri, database, update["data"]["symbol"])


def main(hub_url: str, mongo_uri: str, within_s: str = str(LONGEST_S)) -> int:
    """The command."""
    try:
        update, candle = asyncio.run(seen(hub_url, mongo_uri, "bot_core", within_s=float(within_s)))
    except TimeoutError:
        print(f"no closed candle within {within_s} s", file=sys.stderr)  # noqa: T201 - a command writes to its caller
        return 1
    print("on the hub: ", json.dumps(update["data"]))  # noqa: T201
    print("in MongoDB: ", {name: candle[name] for name in ("symbol", "timeframe", "open_time", "close", "status")})  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
