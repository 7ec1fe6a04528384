"""Balances, positions and totals by REST: from a hub, from the store, and only with the right."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from flows.model import AccountItem, AccountRecord
from sinks.hub.rights import ACCOUNT_CHANNELS
from tests.fakes.accounts import BALANCE, BEGIN, LABEL, POSITION, STATE, TOTAL
from tests.fakes.interface import Deployment, Interface, fill, interface, until

VALUED = replace(BALANCE, asset="BTC", value=Decimal("60000.10"), quote="USDT", is_computed=True, price_time=BEGIN - 7)
NOTHING = replace(BALANCE, asset="GONE", free=Decimal(0), locked=Decimal(0), total=Decimal(0))
ITEMS: list[AccountItem] = [STATE, BALANCE, VALUED, NOTHING, POSITION]
PATHS = ("/api/balance", "/api/balance/binance", "/api/positions", "/api/account/history")


@pytest.fixture
async def owned(deployment: Deployment) -> AsyncIterator[Interface]:
    """An interface whose hub reports an account, and where tokens are set."""
    fill(deployment)
    deployment.tell(*ITEMS)
    stored: list[AccountRecord] = [*ITEMS, *(replace(TOTAL, time=TOTAL.time + 60_000 * minute) for minute in range(3))]
    deployment.store(stored)
    async with deployment.beating(), interface(deployment, token="market", account_token="own") as running:
        live = running.services.live
        await until(lambda: any(state.of_accounts("Position") for state in live.venue_states()))
        await until(lambda: any(state.clock.is_alive for state in live.venue_states()))
        yield running


async def test_accounts_by_rest(owned: Interface, deployment: Deployment) -> None:
    for path in PATHS:
        assert await owned.error(path) == (401, "unauthorized")
        assert await owned.error(f"{path}?token=market") == (403, "no_right")
    [account] = (await owned.data("/api/balance?token=own"))["accounts"]
    assert (account["venue"], account["account"], account["state"], account["stale"]) == (
        "binance", LABEL, "live", False
    )  # fmt: skip
    assert [one["asset"] for one in account["balances"]] == ["BTC", "XQZ"]
    assert (account["value"], account["quote"], account["valued"]) == (60000.10, "USDT", False)
    assert account["price_time"] == BEGIN - 7
    async with owned.session.get(f"{owned.url}/api/balance/binance?token=own") as response:
        assert '"free":98765.00000001' in await response.text()
    assert await owned.error("/api/balance/nosuch?token=own") == (404, "unknown_venue")
    assert await owned.data("/api/balance?token=own&account=other") == {"accounts": []}

    [account] = (await owned.data("/api/positions?token=own"))["accounts"]
    [position] = account["positions"]
    assert (position["symbol"], position["side"], position["is_computed"]) == ("BTCUSDT", "SHORT", True)

    totals = (await owned.data(f"/api/account/history?token=own&start={TOTAL.time + 60_000}"))["totals"]
    assert [(one["total"], one["timestamp"] - TOTAL.time) for one in totals] == [(1234.56, 60_000), (1234.56, 120_000)]
    assert {one["price_time"] for one in totals} == {TOTAL.price_time}

    # nothing of an account is elsewhere, whoever asks
    for path in ("/api/status", "/api/prices", "/metrics", "/api/incidents", "/api/symbols"):
        async with owned.session.get(f"{owned.url}{path}", headers={"Authorization": "Bearer market"}) as response:
            text = await response.text()
            assert response.status == 200
            assert not [mark for mark in (LABEL, "XQZ", "98765") if mark in text], path

    # without the hub it is stale at once
    await deployment.stop_hub()
    await until(lambda: not owned.services.live.connections[0].state.connected)
    [account] = (await owned.data("/api/balance?token=own"))["accounts"]
    assert (account["state"], account["stale"]) == ("unknown", True)


async def test_an_account_that_no_hub_reports_is_what_was_stored_last(deployment: Deployment) -> None:
    deployment.store(list[AccountRecord](ITEMS))
    feed: Any = {"api_key": "k" * 64, "api_secret": "s" * 64}
    async with interface(deployment, feed=feed) as running:
        [account] = (await running.data("/api/balance"))["accounts"]
        assert (account["state"], account["stale"], account["age_ms"]) == ("unknown", True, None)
        assert [one["asset"] for one in account["balances"]] == ["BTC", "XQZ"]
        assert account["value"] == 60000.10
        [account] = (await running.data("/api/positions"))["accounts"]
        assert [one["quantity"] for one in account["positions"]] == [98765.4]


async def test_without_an_account_there_is_none(served: Interface) -> None:
    assert await served.data("/api/balance") == {"accounts": []}
    assert await served.data("/api/positions") == {"accounts": []}
    assert await served.data("/api/account/history") == {"totals": []}
    assert not set(served.services.live.connections[0].venue_state.counts) & set(ACCOUNT_CHANNELS)
