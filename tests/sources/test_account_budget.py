"""Requests of accounts are of the budget that the venue's market data has."""

import asyncio

import pytest

from sources.rest.client import VenueError
from tests.fakes.operated_account import PEERS, Peer
from tests.fakes.served_account import served_account


@pytest.mark.parametrize("peer", PEERS)
async def test_a_snapshot_is_charged_to_the_budget_of_the_venue(peer: Peer) -> None:
    async with served_account(peer) as one:
        before = one.rest.rate_limit.used
        await one.feed.snapshot()
        assert one.rest.rate_limit.used > before


@pytest.mark.parametrize("peer", PEERS)
async def test_while_the_venue_bans_the_address_the_account_does_not_query_it(peer: Peer) -> None:
    async with served_account(peer) as one:
        await one.feed.snapshot()
        one.rest.rate_limit.ban(60.0)
        used = one.rest.rate_limit.used
        with pytest.raises((VenueError, TimeoutError)):
            await asyncio.wait_for(one.feed.snapshot(), 0.2)
        assert one.rest.rate_limit.used == used
