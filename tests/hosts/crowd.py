"""Clients that go from interface to interface: each must see every trade and closed candle once, and in order."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.hosts.host import TOKEN, Host


class Member:
    """One client."""

    def __init__(self, hosts: Sequence[Host], number: int) -> None:
        self._hosts = hosts
        self._chance = random.Random(number)
        self.seq = 0
        self.newest: dict[str, int] = {}
        self.closed: set[tuple[str, str, int]] = set()
        self.wrong: list[str] = []
        self.connections = 0

    async def run(self) -> None:
        """Reads until it is cancelled."""
        while True:
            host = self._chance.choice(self._hosts)
            after = f"&resume_after={self.seq}" if self.seq else ""
            url = f"{host.url.replace('http', 'ws', 1)}/ws?channels=Trade,ChartUpdate&token={TOKEN}{after}"
            with suppress(OSError, WebSocketException, TimeoutError):
                async with connect(url, max_size=None, open_timeout=3, ping_interval=5, ping_timeout=5) as socket:
                    self.connections += 1
                    async for text in socket:
                        self.take(msgspec.json.decode(text))
            await asyncio.sleep(0.2)

    def take(self, message: dict[str, Any]) -> None:
        """One message."""
        kind = message["type"]
        if kind not in ("Trade", "ChartUpdate"):
            if kind in ("Reset", "Lagged") and self.seq:
                self.wrong.append(f"{kind} at {self.seq}")
            return
        data = message["data"]
        if message["seq"] <= self.seq:
            self.wrong.append(f"{message['seq']} after {self.seq}")
        self.seq = message["seq"]
        if kind == "ChartUpdate":
            key = data["symbol"], data["timeframe"], data["candle"]["timestamp"]
            if data["candle"]["is_closed"] and data["candle"]["revision"] == 0:
                if key in self.closed:
                    self.wrong.append(f"candle {key} twice")
                self.closed.add(key)
            return
        for row in data["trades"]:
            last = self.newest.get(data["symbol"])
            if last is not None and row["id"] != last + 1:
                self.wrong.append(f"{data['symbol']}: {row['id']} after {last}")
            self.newest[data["symbol"]] = row["id"]


class Crowd:
    """All of them."""

    def __init__(self, hosts: Sequence[Host], count: int) -> None:
        self.members = [Member(hosts, number) for number in range(count)]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """They connect."""
        self._tasks = [asyncio.create_task(one.run()) for one in self.members]

    async def close(self) -> None:
        """They leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wrong(self) -> list[str]:
        """What any of them has seen wrong."""
        failed = [str(task.exception()) for task in self._tasks if task.done() and not task.cancelled()]
        return failed + [f"client {number}: {text}" for number, one in enumerate(self.members) for text in one.wrong]
