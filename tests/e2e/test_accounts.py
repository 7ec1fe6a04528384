"""An account through a whole flow, which is killed: what clients see as live is what the exchange has."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from flows.recovery import prepare
from sources.replay.accounts.keys import DEMO_KEY, DEMO_SECRET
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.deployment import HubClient, flow_settings, free_port, hub_client, running_flow
from tests.fakes.young_market import YoungMarket

pytestmark = pytest.mark.e2e

BEGIN_MS: Final = 1_767_225_600_000


async def deposit(rest_url: str, amount: str) -> Decimal:
    """Adds to the account; what it has then."""
    async with httpx.AsyncClient(base_url=rest_url, timeout=60) as http:
        reply = await http.post("/control/accounts", json={"do": "deposit", "asset": "USDT", "amount": amount})
    [account] = reply.json()["accounts"]
    [held] = [row for row in account["balances"] if row["asset"] == "USDT"]
    return Decimal(held["free"])


class Shown:
    """What a client knows of the account."""

    def __init__(self) -> None:
        self.total: Decimal | None = None
        self.state = ""
        self.was_live_with: list[Decimal | None] = []

    def take(self, message: dict[str, Any]) -> None:
        for item in message["data"]["messages"] if message["type"] == "Snapshot" else [message]:
            if item.get("type") == "Balance" and item["data"]["asset"] == "USDT":
                self.total = Decimal(str(item["data"]["total"]))
            if item.get("type") == "Account":
                self.state = item["data"]["state"]
        if self.state == "live":
            self.was_live_with.append(self.total)


async def shown_as_live(client: HubClient, total: Decimal) -> Shown:
    """Subscribes, and waits until the account is live with that."""
    await client.subscribe("Balance", "Account")
    shown = Shown()
    for message in client.messages:
        shown.take(message)

    def is_so(message: dict[str, Any]) -> bool:
        shown.take(message)
        return (shown.state, shown.total) == ("live", total)

    if (shown.state, shown.total) != ("live", total):
        await client.until(is_so)
    return shown


async def test_an_account_is_the_exchanges_after_a_kill(mongod_uri: str, tmp_path: Path) -> None:
    prepare(tmp_path / "recovery")
    with exchange_in_thread(YoungMarket(("BTCUSDT",), start_ms=BEGIN_MS, trades_per_s=5), speed=1.0) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__origin="synthetic", feed__symbols="BTCUSDT", feed__timeframes="1m", feed__streams="aggTrade,kline",
            feed__api_key=DEMO_KEY, feed__api_secret=DEMO_SECRET, hub__port=free_port(),
        )  # fmt: skip
        flags = ("-r", str(tmp_path / "recovery"), "-s", "1", "-b", "0")
        total = await deposit(exchange.rest_url, "12.5")
        async with running_flow(tmp_path, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
            await shown_as_live(client, total)
            total = await deposit(exchange.rest_url, "0.25")
            await client.until(
                lambda message: message["type"] == "Balance" and Decimal(str(message["data"]["total"])) == total
            )
            await flow.kill()
        total = await deposit(exchange.rest_url, "1")
        async with running_flow(tmp_path, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
            shown = await shown_as_live(client, total)
            assert set(shown.was_live_with) == {total}  # never live with what was before the kill
            assert await flow.stop() == 0
