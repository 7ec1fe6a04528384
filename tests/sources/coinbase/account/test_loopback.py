"""The account against the replay exchange's Coinbase: keys, tokens, what moves balances, faults."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio
from aiohttp import ClientSession

from flows.clock import wall_ms
from flows.model.secret import Secret
from flows.settings import Feed, Rest
from sources.account import AccountRefusedError
from sources.coinbase.account.feed import CoinbaseAccount
from sources.coinbase.account.signing import token
from sources.coinbase.rest import CoinbaseRest
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import Drop, Duplicate, Gap
from sources.replay.venues.coinbase.accounts.keys import (
    DEMO_ED25519_KEY,
    DEMO_ED25519_PRIVATE_KEY,
    DEMO_KEY,
    demo_private_key,
    new_name,
)
from sources.replay.venues.coinbase.dialect import synthetic_coinbase
from tests.fakes.accounts_of import Keyed, PrivateClient, kind_is, order

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one exchange for all cases

DEMO_PUBLIC_KEY = (
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7"
    "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n-----END PUBLIC KEY-----\n"
)


class Peer(NamedTuple):
    exchange: ReplayExchange
    rest: CoinbaseRest
    http: ClientSession

    def account(self, key: str = DEMO_KEY, secret: str | None = None, *, off_ms: int = 0) -> CoinbaseAccount:
        private = Secret(secret or demo_private_key())
        settings = Keyed("coinbase", Secret(key), private, self.exchange.rest_url, self.exchange.ws_url)
        return CoinbaseAccount(settings, self.rest, now_ms=lambda: wall_ms() + off_ms)

    async def opened(self, name: str, *powers: str) -> CoinbaseAccount:
        """An account with 1,000 USD, by a key of its own."""
        key = new_name()
        new = {"account": name, "kind": "es256", "api_key": key, "public_key": DEMO_PUBLIC_KEY, "powers": powers}
        async with self.http.post(f"{self.exchange.rest_url}/control/keys", json=new) as reply:
            assert reply.status == 200, await reply.text()
        await self.order(account=name, do="deposit", asset="USD", amount="1000")
        return self.account(key)

    async def order(self, **fields: object) -> None:
        await order(self.http, self.exchange.rest_url, **fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer() -> AsyncIterator[Peer]:
    served = synthetic_coinbase(["BTC-USD"], seed=5, start_ms=1_767_225_600_000, requests_per_s=1_000)
    async with running_exchange(served.market, dialect=served.dialect, speed=1.0, start_now=True) as exchange:
        feed = Feed.model_validate({"venue": "coinbase", "origin": "replay", "rest_url": exchange.rest_url})
        rest_settings = Rest(tries=1, weight_share=1.0, timeout_s=100)
        async with CoinbaseRest.of(feed, rest_settings) as rest, ClientSession() as http:
            rest.rate_limit.counter.limit = 1_000_000
            yield Peer(exchange, rest, http)


async def balances(account: CoinbaseAccount) -> dict[str, tuple[Decimal, Decimal]]:
    return {one.asset: (one.free, one.locked) for one in (await account.snapshot()).balances}


async def test_orders_are_told_and_balances_are_read(peer: Peer) -> None:
    account = await peer.opened("moved")
    client = PrivateClient(account, peer.http)
    await client.open()
    await client.until(kind_is("opened"))
    fill = {"symbol": "BTC-USD", "side": "BUY", "quantity": "0.5", "price": "1000", "commission": "0.1"}
    await peer.order(account="moved", do="fill", **fill)
    await client.until(kind_is("trigger"))
    assert await balances(account) == {"USD": (Decimal(500), Decimal(0)), "BTC": (Decimal("0.4"), Decimal(0))}
    await client.until(kind_is("trigger"))  # of the order as it is filled
    await peer.order(account="moved", do="lock", asset="BTC", amount="0.25")
    await client.until(kind_is("trigger"))
    assert await balances(account) == {
        "USD": (Decimal(500), Decimal(0)),
        "BTC": (Decimal("0.15"), Decimal("0.25")),
    }
    await client.until(kind_is("alive"))
    assert not any(map(kind_is("expired"), client.reports))


async def test_a_key_of_either_kind_and_its_powers(peer: Peer) -> None:
    ed25519 = peer.account(DEMO_ED25519_KEY, DEMO_ED25519_PRIVATE_KEY)
    assert (await balances(ed25519))["USD"] == (Decimal(100_000), Decimal(0))
    assert await ed25519.powers() == frozenset()
    assert await (await peer.opened("powerful", "trade", "withdraw")).powers() == {"trade", "transfer"}


async def test_a_wrong_key_and_a_wrong_secret_are_said_once(peer: Peer) -> None:
    for account in (peer.account(new_name()), peer.account(DEMO_KEY, DEMO_ED25519_PRIVATE_KEY)):
        with pytest.raises(AccountRefusedError, match="check that api_key is its whole name"):
            await account.snapshot()
        client = PrivateClient(account, peer.http)
        await client.open()
        (event,) = filter(kind_is("refused"), await client.until(kind_is("refused")))
        assert "authentication failure" in getattr(event, "reason", "")


async def test_many_assets_come_in_pages(peer: Peer) -> None:
    account = await peer.opened("pages")
    for number in range(300):
        await peer.order(account="pages", do="deposit", asset=f"A{number}", amount="1")
    found = await balances(account)
    assert len(found) == 301
    assert found["A299"] == (Decimal(1), Decimal(0))


async def test_a_clock_that_is_off_is_met_by_the_time_of_the_venue(peer: Peer) -> None:
    account = peer.account(off_ms=-3_600_000)
    assert (await balances(account))["USD"] == (Decimal(100_000), Decimal(0))
    peer.account()  # another one with the same key does not mind
    client = PrivateClient(account, peer.http)
    await client.open()
    await client.until(kind_is("opened"))


async def test_a_clock_that_is_set_is_met_at_the_next_login(peer: Peer) -> None:
    account = await peer.opened("set")
    await account.login()
    account._clock_ms = lambda: wall_ms() - 3_600_000
    client = PrivateClient(account, peer.http)
    await client.open()
    await client.until(kind_is("opened"))


async def test_a_token_that_is_too_old_is_refused(peer: Peer) -> None:
    account = await peer.opened("old")
    login = await account.login()
    jwt = token(account._signer, account._name, account._now_ms() // 1_000 - 200)
    old = msgspec.json.encode({"type": "subscribe", "channel": "user", "jwt": jwt}).decode()
    async with peer.http.ws_connect(login.url) as ws:
        kinds: list[Any] = []
        for requests in ((old,), login.requests[1:]):
            for request in requests:
                await ws.send_str(request)
            found: list[Any] = []
            while not found:
                found = [
                    one.kind  # type: ignore[union-attr]
                    for one in account.parse((await ws.receive()).data.encode()).reports
                    if getattr(one, "kind", "alive") != "alive"
                ]
            kinds += found
    assert kinds == ["refused", "opened"]


async def test_duplicates_say_nothing_and_a_gap_ends_the_connection(peer: Peer) -> None:
    client = PrivateClient(await peer.opened("faulty"), peer.http)
    await client.open()
    await client.until(kind_is("opened"))
    peer.exchange.inject(Duplicate(stream="user:faulty"))
    await peer.order(account="faulty", do="lock", asset="USD", amount="1")
    await client.until(kind_is("trigger"))
    peer.exchange.inject(Gap(stream="user:faulty"))
    for _ in range(2):
        await peer.order(account="faulty", do="lock", asset="USD", amount="1")
    await client.until(kind_is("expired"))
    assert len(list(filter(kind_is("trigger"), client.reports))) == 1 + kind_is("trigger")(client.reports[-1])


async def test_after_a_cut_a_new_token_opens_the_stream(peer: Peer) -> None:
    client = PrivateClient(await peer.opened("cut"), peer.http)
    await client.open()
    await client.until(kind_is("opened"))
    peer.exchange.inject(Drop())
    with pytest.raises(AssertionError, match=r"CLOSE|ERROR"):
        await client.until(kind_is("never"))
    await client.open()
    await client.until(kind_is("opened"))
