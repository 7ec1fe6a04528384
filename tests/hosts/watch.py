"""What the servers of the bus have, seen from outside, by connections that stay."""

import asyncio
from contextlib import suppress
from typing import Any, Final

import msgspec

from flows.settings import Bus
from sinks.bus.client import BusClient, open_client
from sinks.bus.leases import bucket_of, key_of_subject, lease_of, shard_of_key, subject_of_key
from sinks.bus.stored import BusError, Stored

STREAM: Final = Bus(url=("nats://none",)).stream
"""The default, which the flows have."""
_ANSWER_S: Final = 1.0
_OPEN_S: Final = 3.0


class Watch:
    """Reads at every server, of which some may be gone."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        """Those that may answer: one that cannot costs its time each time."""
        self._clients: dict[tuple[str, str], BusClient] = {}

    async def owners(self) -> dict[str, str]:
        """The owner of each shard, as far as the bucket can be read; by the newest lease that any server has, for one
        that was cut off has old ones.
        """
        found: dict[str, str] = {}
        for one in await self._newest_of(subject_of_key(STREAM, ">"), bucket_of(STREAM)):
            lease, shard = lease_of(one.body), shard_of_key(key_of_subject(STREAM, one.subject))
            if lease and shard:
                found[shard] = lease.owner
        return found

    async def newest(self) -> dict[str, int]:
        """The newest published trade of each symbol."""
        return {data["symbol"]: data["trades"][-1]["id"] for data in await self._newest_trades()}

    async def minute(self) -> float:
        """The minute of the market, by the newest published trade, in whole seconds."""
        times = [data["trades"][-1]["timestamp"] for data in await self._newest_trades()]
        return max(times, default=0) // 1_000 / 60

    async def live(self) -> set[str]:
        """The flows that say that a line of theirs is live."""
        messages = await self._newest_of("mf.binance.*.Status.>", STREAM)
        states = [msgspec.json.decode(one.body) for one in messages]
        return {one["flow"] for one in states if one["data"].get("state") == "live"}

    async def close(self) -> None:
        """Ends the connections."""
        clients, self._clients = self._clients, {}
        await asyncio.gather(*(one.close() for one in clients.values()), return_exceptions=True)

    async def _newest_trades(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(one.body)["data"] for one in await self._newest_of("mf.binance.*.Trade", STREAM)]

    async def _newest_of(self, subject: str, stream: str) -> list[Stored]:
        """The newest message of each subject, of what the servers have that answer in time."""
        answers = await asyncio.gather(*(self._at(url, subject, stream) for url in self.urls))
        messages = sorted((one for some in answers for one in some), key=lambda one: one.seq)
        return [*{one.subject: one for one in messages}.values()]

    async def _at(self, url: str, subject: str, stream: str) -> list[Stored]:
        place = url, stream
        with suppress(BusError, TimeoutError):
            client = self._clients.get(place)
            if client and client.is_lost:
                await client.close()
                client = None
            if client is None:
                async with asyncio.timeout(_OPEN_S):
                    client = self._clients[place] = await open_client(Bus(url=(url,), stream=stream), "test")
            return await client.newest(subject, wait_s=_ANSWER_S)
        if client := self._clients.pop(place, None):
            await client.close()
        return []
