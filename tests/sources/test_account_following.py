"""Accounts of Kraken and Coinbase against the replay exchange, followed as in a flow: whatever happens to the stream,
what is shown as live is what the exchange has.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

import httpx
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from flows.model.secret import Secret
from flows.settings import Feed, Rest
from sources.coinbase.account.feed import CoinbaseAccount
from sources.kraken.account.feed import KrakenAccount
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import AnyFault, Drop, Duplicate, Gap, HalfOpen, Reorder
from sources.replay.venues.coinbase.accounts.keys import new_name
from sources.replay.venues.coinbase.dialect import synthetic_coinbase
from sources.replay.venues.kraken.accounts.keys import DEMO_SECRET
from sources.replay.venues.kraken.dialect import synthetic_kraken
from sources.venue import VenueRest
from sources.venues import VENUES
from tests.fakes.account_follower import Follower, Settings, following
from tests.fakes.operated_account import DEMO_KEYS, OperatedAccount, Peer
from tests.sources.coinbase.account.test_loopback import DEMO_PUBLIC_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one exchange of each venue: every case has its own account

BEGIN_MS = 1_767_225_600_000
SYNTHETIC = {"kraken": synthetic_kraken, "coinbase": synthetic_coinbase}
_NUMBERS = count(1)
Served = tuple[Peer, ReplayExchange, VenueRest, httpx.AsyncClient]


class Account(OperatedAccount):
    """An account of an exchange, and who follows it."""

    def __init__(self, venue: Peer, exchange: ReplayExchange, rest: VenueRest, http: httpx.AsyncClient) -> None:
        super().__init__(venue, http, f"account{next(_NUMBERS)}")
        self.venue = venue
        self.exchange = exchange
        self.http = http
        self._rest = rest
        self._key = new_name() if venue == "coinbase" else self.name.ljust(56, "1")
        self._secret = DEMO_KEYS[venue].secret

    async def open(self, *powers: str) -> None:
        own = {"kind": "es256", "public_key": DEMO_PUBLIC_KEY} if self.venue == "coinbase" else {"secret": DEMO_SECRET}
        new = {"account": self.name, "api_key": self._key, "powers": powers, **own}
        reply = await self.http.post("/control/keys", json=new)
        assert reply.status_code == 200, reply.text
        await self.order("deposit", asset="USD", amount="10000")

    @asynccontextmanager
    async def followed(self, *, audit_ms: int = 600_000, **changes: Any) -> AsyncIterator[Follower]:
        keys = {"api_key": Secret(self._key), "api_secret": Secret(self._secret)}
        address = {"rest_url": self.exchange.rest_url, "ws_url": self.exchange.ws_url}
        settings = Settings(**{"venue": self.venue, **keys, **address, **changes})
        build = VENUES[self.venue].account
        assert build is not None
        feed = build(settings, self._rest)
        if isinstance(feed, KrakenAccount):
            feed.least_between_s = 0.0
        elif isinstance(feed, CoinbaseAccount):
            feed.settle_s = 0.0
        async with following(feed, settings, audit_ms=audit_ms) as follower:
            yield follower


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["kraken", "coinbase"])
async def venue(
    request: pytest.FixtureRequest,
) -> AsyncIterator[Served]:
    name: Peer = request.param
    served = SYNTHETIC[name](["BTC-USD"], seed=5, start_ms=BEGIN_MS, requests_per_s=1_000)
    async with AsyncExitStack() as stack:
        running = running_exchange(served.market, dialect=served.dialect, speed=1.0, start_now=True)
        exchange = await stack.enter_async_context(running)
        feed = Feed.model_validate({"venue": name, "origin": "replay", "rest_url": exchange.rest_url})
        rest = await stack.enter_async_context(VENUES[name].rest(feed, Rest(weight_share=1.0, timeout_s=30)))
        rest.rate_limit.counter.limit = 1_000_000
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=exchange.rest_url, timeout=60))
        yield name, exchange, rest, http


@pytest_asyncio.fixture(loop_scope="module")
async def account(venue: Served) -> Account:
    one = Account(*venue)
    await one.open()
    return one


async def test_what_is_live_is_what_the_exchange_has(account: Account) -> None:
    stream = await account.stream()
    faults: list[AnyFault] = [
        Duplicate(stream=stream, count=3), Reorder(stream=stream), Gap(stream=stream), Drop(), HalfOpen(),
    ]  # fmt: skip
    async with account.followed() as follower:
        await follower.until_equal(account.held)
        await account.move()
        await follower.until_equal(account.held)
        for fault in faults:
            account.exchange.inject(fault)
            await account.move()
            await follower.until_equal(account.held)
        assert follower.incidents == []


async def test_what_no_message_says_is_found_by_the_audit(account: Account) -> None:
    async with account.followed(audit_ms=1_000) as follower:
        await follower.until_equal(account.held)
        silent = {"do": "lock", "asset": "USD"} if account.venue == "kraken" else {"do": "deposit", "asset": "EUR"}
        await account.order(**silent, amount="1")
        await follower.until(lambda: bool(follower.incidents))
        await follower.until_equal(account.held)
        assert {one.kind for one in follower.incidents} == {"account"}


async def test_tokens_that_have_expired_are_met_by_new_ones(account: Account) -> None:
    if account.venue != "kraken":
        pytest.skip("this venue gives no tokens")
    await account.order("tokens", life_ms=0)
    async with account.followed() as follower:
        await follower.until(lambda: any("token" in state.reason for state in follower.states))
        assert not any(state.state == "live" for state in follower.states)
        await account.order("tokens", life_ms=900_000)
        await follower.until_equal(account.held)


async def test_a_wrong_key_is_one_message(account: Account) -> None:
    key = new_name() if account.venue == "coinbase" else "x" * 56
    with capture_logs() as logs:
        async with account.followed(api_key=Secret(key)) as follower:
            await follower.until(lambda: follower.state == "refused")
            assert "check" in follower.states[-1].reason
    assert [entry["event"] for entry in logs].count("account_refused") == 1
    assert key not in str(logs)


async def test_a_key_that_may_do_more_is_refused_with_the_remedy(account: Account) -> None:
    await account.open("trade", "withdraw")
    async with account.followed(allow_powerful_keys=False) as follower:
        await follower.until(lambda: follower.state == "refused")
        assert "reading is enough: make a key that can only read" in follower.states[-1].reason
        assert follower.snapshots == 0
    await account.open()
    async with account.followed(allow_powerful_keys=False) as follower:
        await follower.until_equal(account.held)
