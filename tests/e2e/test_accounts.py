"""An account through a whole flow, of every venue that has accounts: whatever happens to its stream, and to the flow,
what clients see as live is what the exchange has.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import pytest
from pymongo import MongoClient

from flows.recovery import prepare
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.faults.orders import Drop, Duplicate, HalfOpen, Refuse, Reorder
from tests.fakes.deployment import START_S, HubClient, RunningFlow, flow_settings, free_port, hub_client, running_flow
from tests.fakes.operated_account import DEMO_KEYS, PEERS, Held, OperatedAccount, Peer
from tests.fakes.venue_peers import PEERS as SERVED

pytestmark = pytest.mark.e2e

BEGIN_MS: Final = 1_767_225_600_000 + 40_000
"""Soon there is a whole minute, at which the account has a total."""
BALANCES: Final = {
    "binance": "/api/v3/account",
    "binance-usdm": "/fapi/v3/balance",
    "kraken": "/0/private/BalanceEx",
    "coinbase": "/api/v3/brokerage/accounts",
}
"""Where each venue answers what an account has."""
Items: TypeAlias = dict[Any, Any]
"""What is held of each asset, and in each position."""


def in_one(held: Held) -> Items:
    balances, positions = held
    return {**balances, **positions}


class Shown:
    """What a client of the hub knows of the account."""

    def __init__(self, client: HubClient) -> None:
        self._client = client
        self._items: Items = {}
        self.states: list[str] = []
        self.live: list[Items] = []
        """What was shown while the account was live, each version of it."""

    async def follow(self) -> None:
        """Subscribes."""
        await self._client.subscribe("Balance", "Position", "Account")
        for message in self._client.messages:
            self._take(message)

    async def until(self, state: str, held: Held | None = None) -> None:
        """Until the account has that state, and holds that."""

        def is_so() -> bool:
            return self.states[-1:] == [state] and (held is None or self._items == in_one(held))

        def takes(message: dict[str, Any]) -> bool:
            self._take(message)
            return is_so()

        if not is_so():
            await self._client.until(takes)

    def _take(self, message: dict[str, Any]) -> None:
        is_part = message["type"] == "Snapshot"
        for item in message["data"]["messages"] if is_part else [message]:
            self._item(item.get("type"), item["data"])
        if self.states[-1:] == ["live"] and not (is_part and not message["data"]["complete"]):
            self.live.append(dict(self._items))

    def _item(self, kind: str | None, data: dict[str, Any]) -> None:
        match kind:
            case "Account":
                self.states.append(data["state"])
            case "Balance":
                amounts = exact(data["free"]), exact(data["locked"])
                self._put(data["asset"], amounts, any(amounts))
            case "Position":
                quantity = exact(data["quantity"])
                self._put((data["symbol"], data["side"]), quantity, bool(quantity))

    def _put(self, key: Any, value: Any, is_something: bool) -> None:
        self._items.pop(key, None)
        if is_something:
            self._items[key] = value


def exact(number: float) -> Decimal:
    return Decimal(str(number))


def assert_followed(live: list[Items], versions: list[Held]) -> None:
    """What was live is, asset by asset and position by position, what the exchange had, and nothing goes back."""
    had = [in_one(version) for version in versions]
    at: dict[Any, int] = {}
    for items in live:
        for key in {*items, *had[0], *had[-1]}:
            begin = at.get(key, 0)
            later = [number for number in range(begin, len(had)) if had[number].get(key) == items.get(key)]
            assert later, (key, items.get(key), [one.get(key) for one in had[begin:]])
            at[key] = later[0]


def not_answered(peer: Peer) -> Refuse:
    """What the account has is not answered until faults are cleared: whoever is live before is so without knowing."""
    return Refuse(status=503, path=BALANCES[peer], count=1_000)


class Played:
    """An account, what disturbs it, and what a client sees of it."""

    def __init__(self, account: OperatedAccount, exchange: ThreadedExchange, shown: Shown) -> None:
        self._account = account
        self._exchange = exchange
        self._shown = shown

    async def _agree(self) -> None:
        """Waits until the client knows what the exchange has, and looks at what it was shown before."""
        await self._shown.until("live", self._account.versions[-1])
        self._exchange.clear_faults()
        assert_followed(self._shown.live, self._account.versions)
        self._shown.live.clear()
        self._shown.states[:-1] = []
        self._account.versions[:-1] = []

    async def undisturbed(self) -> None:
        for _ in range(2):
            await self._account.move()
            await self._agree()

    async def duplicated_and_reordered(self) -> None:
        stream = await self._account.stream()
        for fault in (Duplicate(stream=stream, count=3), Reorder(stream=stream, count=2)):
            self._exchange.inject(fault)
            await self._account.move()
            await self._agree()

    async def cut(self) -> None:
        self._exchange.inject(not_answered(self._account.peer))
        self._exchange.inject(Drop())
        await self._shown.until("stale")
        await self._account.move()
        await self._agree_anew()

    async def silent(self) -> None:
        """For a while nothing says that the stream is silent; then it is stale, until it is known what there is."""
        self._exchange.inject(not_answered(self._account.peer))
        self._exchange.inject(HalfOpen())
        await self._account.move()
        await self._shown.until("stale")
        assert_followed(self._shown.live, self._account.versions[:1])
        await self._agree_anew()

    async def _agree_anew(self) -> None:
        """As `_agree`, where nothing of before is live any more."""
        self._shown.live.clear()
        self._account.versions[:-1] = []
        self._exchange.clear_faults()
        await self._agree()

    async def expired(self) -> None:
        """What the stream was opened with ends, and for a while there is nothing that opens another one."""
        account = self._account
        if account.peer == "binance-usdm":
            await account.order("listen_keys", life_ms=0)
            await self._shown.until("stale")
            await account.move()
            await account.order("listen_keys", life_ms=3_600_000)
            await self._agree()
        elif account.peer == "kraken":
            await account.order("tokens", life_ms=0)
            self._exchange.inject(Drop())
            await self._shown.until("stale")
            await account.move()
            await account.order("tokens", life_ms=900_000)
            await self._agree_anew()


@pytest.mark.parametrize("peer", PEERS)
async def test_what_is_live_is_what_the_exchange_has(peer: Peer, mongod_uri: str, tmp_path: Path) -> None:
    prepare(tmp_path / "recovery")
    async with operated(peer) as (exchange, account):
        quote = quote_of(account)
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__venue=peer, feed__symbols=account.symbol, feed__timeframes="1m", feed__backoff_min_s=0.5,
            feed__ws_url=exchange.ws_url + SERVED[peer].ws_path, feed__api_key=DEMO_KEYS[peer].name,
            feed__api_secret=DEMO_KEYS[peer].secret, accounts__stale_s=3, accounts__quote=quote, hub__port=free_port(),
        )  # fmt: skip
        async with life(tmp_path, settings) as (flow, shown):
            await shown.until("live", account.versions[-1])
            played = Played(account, exchange, shown)
            await played.undisturbed()
            await played.duplicated_and_reordered()
            await played.cut()
            await played.silent()
            await played.expired()
            await account.move()
            await flow.kill()
        await account.move()
        exchange.inject(not_answered(peer))
        async with life(tmp_path, settings) as (flow, shown):
            await shown.until("connecting")
            exchange.clear_faults()
            await shown.until("live", account.versions[-1])
            assert_followed(shown.live, account.versions[-1:])  # never live with what was before the kill
            await account.move()
            await shown.until("live", account.versions[-1])
            total = await first_total(mongod_uri, tmp_path.name)
            assert await flow.stop() == 0
    assert (total["quote"], total["time"] % 60_000, total["total"].to_decimal() > 0) == (quote, 0, True)
    assert stored(mongod_uri, tmp_path.name) == totals(account.versions[-1])


@asynccontextmanager
async def operated(peer: Peer) -> AsyncIterator[tuple[ThreadedExchange, OperatedAccount]]:
    """A venue's exchange, and the account that is there from the begin."""
    symbol = SERVED[peer].symbols[0]
    made = SERVED[peer].market([symbol], seed=3, start_ms=BEGIN_MS, trades_per_s=5.0)
    with exchange_in_thread(made.market, dialect=made.dialect, speed=1.0, start_now=True) as exchange:
        async with httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http:
            account = OperatedAccount(peer, http)
            await account.order("deposit", asset=quote_of(account), amount="1000.5")
            yield exchange, account


def quote_of(account: OperatedAccount) -> str:
    return account.symbol.replace("-", "").removeprefix("BTC")


async def first_total(mongod_uri: str, database: str) -> dict[str, Any]:
    """What the account was worth at a whole minute, as soon as it is stored."""
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        async with asyncio.timeout(START_S):
            while (found := client[database]["account_history"].find_one()) is None:
                await asyncio.sleep(0.5)
    return found


@asynccontextmanager
async def life(folder: Path, settings: dict[str, Any]) -> AsyncIterator[tuple[RunningFlow, Shown]]:
    """A flow with recovered state, and a client of its hub."""
    flags = ("-r", str(folder / "recovery"), "-s", "1", "-b", "0")
    async with running_flow(folder, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
        shown = Shown(client)
        await shown.follow()
        yield flow, shown


def totals(held: Held) -> Items:
    balances, positions = held
    return {**{asset: free + locked for asset, (free, locked) in balances.items()}, **positions}


def stored(mongod_uri: str, database: str) -> Items:
    """The newest balances and positions of the store, without what is zero."""
    found: Items = {}
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        for row in client[database]["account"].find({"kind": {"$ne": "state"}}):
            is_balance = row["kind"] == "balance"
            amount = row["total" if is_balance else "quantity"].to_decimal()
            found[row["asset"] if is_balance else (row["symbol"], row["side"])] = amount
    return {key: amount for key, amount in found.items() if amount}
