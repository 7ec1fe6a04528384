"""Requests of HTTP as a connection: what shows that their client is there."""

import asyncio

from api.signalr.transports import HttpTransport


async def test_a_client_that_fetches_what_waits_is_there_though_it_never_waits() -> None:
    transport = HttpTransport(takes_binary=True)
    assert not transport.has_fetched()
    transport.write(b"something", is_binary=False)
    assert await transport.take(within_s=60) == b"something"
    assert transport.has_fetched()
    assert not transport.has_fetched(), "it was there before, not since"


async def test_a_client_that_waits_is_there_as_long_as_it_waits() -> None:
    transport = HttpTransport(takes_binary=True)
    waits = asyncio.create_task(transport.take(within_s=60))
    await asyncio.sleep(0)
    assert [transport.has_fetched() for _ in range(3)] == [True] * 3
    transport.write(b"something", is_binary=False)
    assert await waits == b"something"
    assert not transport.has_fetched()
