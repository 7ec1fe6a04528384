"""The account against the replay exchange's Kraken: keys, tokens, what moves balances and positions, faults."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import NamedTuple

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from flows.model.account import AccountUpdate, BalanceChange, BalanceReport
from flows.model.secret import Secret
from flows.settings import Feed, Rest
from sources.account import AccountRefusedError
from sources.kraken.account.feed import KrakenAccount
from sources.kraken.rest import KrakenRest
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import Drop, Duplicate, Gap, Reorder
from sources.replay.venues.kraken.accounts.keys import DEMO_KEY, DEMO_SECRET
from sources.replay.venues.kraken.dialect import synthetic_kraken
from tests.fakes.accounts_of import Keyed, PrivateClient, kind_is, order

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one exchange for all: each case has an account of its own

BEGIN_MS = 1_767_225_600_000


def key_of(name: str) -> str:
    return name.ljust(56, "1")


class Peer(NamedTuple):
    exchange: ReplayExchange
    rest: KrakenRest
    http: ClientSession

    def account(self, key: str, secret: str = DEMO_SECRET, *, now_ms: int | None = None) -> KrakenAccount:
        settings = Keyed("kraken", Secret(key), Secret(secret), self.exchange.rest_url, self.exchange.ws_url)
        return KrakenAccount(settings, self.rest, **({"now_ms": lambda: now_ms} if now_ms else {}))

    async def opened(self, name: str, *powers: str) -> KrakenAccount:
        """An account with 1,000 USD, by a key of its own."""
        new = {"account": name, "api_key": key_of(name), "secret": DEMO_SECRET, "powers": powers}
        async with self.http.post(f"{self.exchange.rest_url}/control/keys", json=new) as reply:
            assert reply.status == 200
        await self.order(account=name, do="deposit", asset="USD", amount="1000")
        return self.account(key_of(name))

    async def order(self, **fields: object) -> None:
        await order(self.http, self.exchange.rest_url, **fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer() -> AsyncIterator[Peer]:
    served = synthetic_kraken(["BTC-USD"], seed=5, start_ms=BEGIN_MS, requests_per_s=1_000)
    async with running_exchange(served.market, dialect=served.dialect, speed=1.0, start_now=True) as exchange:
        feed = Feed.model_validate({"venue": "kraken", "origin": "replay", "rest_url": exchange.rest_url})
        rest_settings = Rest(tries=1, weight_share=1.0, timeout_s=100)
        async with KrakenRest.of(feed, rest_settings) as rest, ClientSession() as http:
            rest.rate_limit.counter.limit = 1_000_000
            yield Peer(exchange, rest, http)


def amounts(reports: tuple[BalanceReport, ...]) -> dict[str, tuple[Decimal, Decimal]]:
    return {one.asset: (one.free, one.locked) for one in reports}


def is_update(report: object) -> bool:
    return isinstance(report, AccountUpdate)


async def test_what_moves_an_account_is_in_its_stream_and_its_snapshot(peer: Peer) -> None:
    account = await peer.opened("moved")
    client = PrivateClient(account, peer.http)
    await client.open()
    await client.until(kind_is("opened"))
    await peer.order(account="moved", do="deposit", asset="EUR", amount="12.5")
    fill = {"symbol": "BTC-USD", "side": "BUY", "quantity": "0.5", "price": "1000", "commission": "0.1"}
    await peer.order(account="moved", do="fill", **fill)
    await peer.order(account="moved", do="lock", asset="BTC", amount="0.25")
    await peer.order(account="moved", do="withdraw", asset="EUR", amount="12.5")
    updates = [
        report for _ in range(3) for report in await client.until(is_update) if isinstance(report, AccountUpdate)
    ]
    assert [(one.sequence, one.changes) for one in updates] == [
        (2, (BalanceChange("EUR", Decimal("12.5")),)),
        (3, (BalanceChange("BTC", Decimal("0.4")), BalanceChange("USD", Decimal(-500)))),
        (4, (BalanceChange("EUR", Decimal("-12.5")),)),
    ]
    assert amounts((await account.snapshot()).balances) == {
        "USD": (Decimal(500), Decimal(0)),
        "BTC": (Decimal("0.15"), Decimal("0.25")),
    }


async def test_positions_on_margin(peer: Peer) -> None:
    account = await peer.opened("margin")
    await peer.order(account="margin", do="leverage", symbol="BTC-USD", leverage=4)
    margin = {"account": "margin", "do": "fill", "position_side": "LONG"}
    for side, quantity, price in (("BUY", "0.2", "1000"), ("BUY", "0.2", "1200"), ("SELL", "0.1", "1100")):
        await peer.order(**margin, symbol="BTC-USD", side=side, quantity=quantity, price=price)
    snapshot = await account.snapshot()
    (held,) = snapshot.positions
    assert (held.symbol, held.place, held.quantity, held.leverage) == ("BTC-USD", "LONG", Decimal("0.3"), 4)
    assert held.entry_price == Decimal("1133.3333333333")
    assert held.mark_price is not None
    assert held.unrealised_pnl is not None
    assert abs(held.unrealised_pnl - (held.mark_price * Decimal("0.3") - 340)) < Decimal("1e-8")
    # 0.02 % of 200, 240 and 110 in fees, and 10 are gained
    assert amounts(snapshot.balances)["USD"][0] == 1_010 - Decimal("0.11")
    await peer.order(**margin, symbol="BTC/USD", side="SELL", quantity="0.3", price="1100")
    assert (await account.snapshot()).positions == ()


async def test_a_wrong_key_a_wrong_secret_and_a_powerful_key_each_have_their_message(peer: Peer) -> None:
    with pytest.raises(AccountRefusedError, match="check api_key"):
        await peer.account(key_of("unknown")).login()
    other = DEMO_SECRET[::-1].replace("=", "") + "=="
    with pytest.raises(AccountRefusedError, match="check that api_secret") as refused:
        await peer.account(DEMO_KEY, other).login()
    assert other not in str(refused.value)
    assert await (await peer.opened("reader")).powers() == frozenset()
    assert await (await peer.opened("powerful", "trade", "withdraw")).powers() == {"trade", "withdraw"}


async def test_higher_nonces_of_another_program_are_said(peer: Peer) -> None:
    account = await peer.opened("shared")
    await peer.account(key_of("shared"), now_ms=4_000_000_000_000).powers()
    with pytest.raises(AccountRefusedError, match="make a key for this program alone"):
        await account.powers()


async def test_a_token_that_is_too_old_is_said_and_a_new_one_helps(peer: Peer) -> None:
    client = PrivateClient(await peer.opened("expired"), peer.http)
    await peer.order(do="tokens", life_ms=0)
    await client.open()
    (event,) = filter(kind_is("expired"), await client.until(kind_is("expired")))
    assert "Invalid session" in getattr(event, "reason", "")
    await peer.order(do="tokens", life_ms=900_000)
    await client.open()
    await client.until(kind_is("opened"))


async def test_duplicates_say_nothing_and_gaps_and_disorder_end_the_connection(peer: Peer) -> None:
    client = PrivateClient(await peer.opened("faulty"), peer.http)

    async def moved(times: int) -> None:
        for _ in range(times):
            await peer.order(account="faulty", do="deposit", asset="EUR", amount="1")

    await client.open()
    await client.until(kind_is("opened"))
    peer.exchange.inject(Duplicate(stream="balances:faulty"))
    await moved(2)
    for _ in range(2):
        await client.until(is_update)
    assert [one.sequence for one in client.reports if isinstance(one, AccountUpdate)] == [2, 3]
    for fault in (Gap(stream="balances:faulty"), Reorder(stream="balances:faulty")):
        peer.exchange.inject(fault)
        await moved(2)
        (event,) = filter(kind_is("expired"), await client.until(kind_is("expired")))
        assert getattr(event, "reason", "") == "messages of the stream are missing: 1 before the newest one"
        await client.open()
        await client.until(kind_is("opened"))
    assert amounts((await peer.account(key_of("faulty")).snapshot()).balances)["EUR"] == (Decimal(6), Decimal(0))


async def test_the_public_address_refuses_accounts(peer: Peer) -> None:
    account = await peer.opened("misplaced")
    login = await account.login()
    async with peer.http.ws_connect(f"{peer.exchange.ws_url}/v2") as ws:
        await ws.receive()
        await ws.send_str(login.requests[0])
        (event,) = account.parse((await ws.receive()).data.encode()).reports
    assert getattr(event, "kind", "") == "refused"
    assert "accounts_ws_url" in getattr(event, "reason", "")


async def test_after_a_cut_a_new_token_opens_the_stream_and_heartbeats_are_signs_of_life(peer: Peer) -> None:
    client = PrivateClient(await peer.opened("cut"), peer.http)
    await client.open()
    await client.until(kind_is("opened"))
    peer.exchange.inject(Drop())
    with pytest.raises(AssertionError, match=r"CLOSE|ERROR"):
        await client.until(kind_is("never"))
    await client.open()
    await client.until(kind_is("opened"))
    await client.until(kind_is("alive"))
