"""A bot that acts on closed candles: `python docs/examples/closed_candles.py [ws://127.0.0.1:8765/ws]`."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException


def on_candle(symbol: str, timeframe: str, candle: dict[str, object]) -> None:
    print(symbol, timeframe, *(candle[name] for name in ("timestamp", "close", "status", "revision")), flush=True)


async def main(url: str = "ws://127.0.0.1:8765/ws") -> None:
    seen = ""  # after a cut it goes on behind the last message that it has seen
    while True:
        try:
            async with connect(f"{url}?channels=ChartUpdate{seen}") as hub:
                async for message in hub:
                    if (update := json.loads(message))["type"] == "ChartUpdate":
                        seen, data = f"&resume_after={update['seq']}", update["data"]
                        on_candle(data["symbol"], data["timeframe"], data["candle"])
        except (OSError, WebSocketException) as error:
            print(f"no hub at {url} ({error}): make demo or make run starts one", file=sys.stderr)
        await asyncio.sleep(1)


asyncio.run(main(*sys.argv[1:2]))
