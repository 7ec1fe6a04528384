"""An account of a replay exchange of any venue, and what the flow reads it with."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

import httpx

from flows.model.secret import Secret
from flows.settings import Accounts, Feed, Rest
from flows.settings.account import FollowedAccount
from sources.account import AccountFeed
from sources.replay.exchange.server import running_exchange
from sources.venue import VenueRest
from sources.venues import VENUES
from tests.fakes.operated_account import DEMO_KEYS, OperatedAccount, Peer
from tests.fakes.venue_peers import PEERS

BEGIN_MS: Final = 1_767_225_600_000


class ServedAccount(NamedTuple):
    """Both sides."""

    account: OperatedAccount
    feed: AccountFeed
    rest: VenueRest
    settings: Feed


@asynccontextmanager
async def served_account(peer: Peer, *, label: str = "default") -> AsyncIterator[ServedAccount]:
    """The account that is there from the begin, for the length of the block."""
    made = PEERS[peer].market([PEERS[peer].symbols[0]], seed=3, start_ms=BEGIN_MS, trades_per_s=5.0)
    async with AsyncExitStack() as stack:
        running = running_exchange(made.market, dialect=made.dialect, speed=1.0, start_now=True)
        exchange = await stack.enter_async_context(running)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=exchange.rest_url, timeout=60))
        key = DEMO_KEYS[peer]
        settings = Feed.model_validate(
            {
                "venue": peer, "origin": "replay", "rest_url": exchange.rest_url, "account": label,
                "ws_url": exchange.ws_url + PEERS[peer].ws_path, "api_key": key.name, "api_secret": Secret(key.secret),
            }
        )  # fmt: skip
        rest = await stack.enter_async_context(VENUES[peer].rest(settings, Rest(timeout_s=30)))
        build = VENUES[peer].account
        assert build is not None
        feed = build(FollowedAccount.of(settings, Accounts()), rest)
        yield ServedAccount(OperatedAccount(peer, http), feed, rest, settings)
