"""Accounts of both markets against the replay exchange: whatever happens to the stream, what is shown as live is what
the exchange has.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from flows.clock import wall_ms
from flows.model.secret import Secret
from sources.binance.rest import BinanceRest
from sources.replay.accounts.keys import DEMO_ED25519_KEY, DEMO_KEY, DEMO_SECRET, demo_private_key
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import AnyFault, ClockSkew, Drop, Duplicate, Gap, HalfOpen, Reorder
from sources.replay.market.market import MarketKind
from sources.venues import VENUES
from tests.fakes.account_follower import Follower, Settings, following
from tests.fakes.operated_account import OperatedAccount, Peer
from tests.fakes.scripted_market import ScriptedMarket

MARKETS: dict[Peer, MarketKind] = {"binance": "spot", "binance-usdm": "usdm"}


class TimelyMarket(ScriptedMarket):
    """A market whose time is now."""

    @property
    def now_ms(self) -> int:
        return wall_ms()


class Rules:
    """The settings of REST."""

    weight_share = 0.8
    timeout_s = 10.0
    tries = 4


class Account(OperatedAccount):
    """An account of an exchange, and who follows it."""

    def __init__(self, peer: Peer, exchange: ReplayExchange, http: httpx.AsyncClient) -> None:
        super().__init__(peer, http)
        self.exchange = exchange
        self.http = http

    @asynccontextmanager
    async def followed(
        self, *, audit_ms: int = 600_000, keep_s: float | None = None, **changes: Any
    ) -> AsyncIterator[Follower]:
        venue = VENUES[self.peer]
        keys = {"api_key": Secret(DEMO_KEY), "api_secret": Secret(DEMO_SECRET)}
        address = {"rest_url": self.exchange.rest_url, "ws_url": self.exchange.ws_url}
        settings = Settings(**{"venue": venue.name, **keys, **address, **changes})
        rest = BinanceRest.of(_FeedSettings(venue.name, self.exchange.rest_url), Rules())  # type: ignore[arg-type]
        assert venue.account is not None
        feed = venue.account(settings, rest)
        feed.keep_s = feed.keep_s if keep_s is None else keep_s
        async with rest, following(feed, settings, audit_ms=audit_ms) as follower:
            yield follower


class _FeedSettings:
    origin = "replay"
    streams = ("aggTrade",)

    def __init__(self, venue: str, rest_url: str) -> None:
        self.venue = venue
        self.rest_url = rest_url


@pytest.fixture(params=MARKETS)
async def account(request: pytest.FixtureRequest) -> AsyncIterator[Account]:
    async with (
        running_exchange(TimelyMarket(kind=MARKETS[request.param]), start_now=True) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
    ):
        yield Account(request.param, exchange, http)


@pytest.mark.parametrize(
    "fault",
    [None, Duplicate(stream="*", count=3), Reorder(stream="*"), Drop(), HalfOpen()],
    ids=["undisturbed", "duplicated", "reordered", "cut", "silent"],
)
async def test_what_is_live_is_what_the_exchange_has(account: Account, fault: AnyFault | None) -> None:
    async with account.followed() as follower:
        await follower.until_equal(account.held)
        if fault is not None:
            account.exchange.inject(fault)
        for _ in range(3):  # of USD-M one position, then both sides, isolated, then one again
            await account.move()
            await follower.until_equal(account.held)
        assert follower.incidents == []


async def test_a_liquidation_that_leaves_a_debt_ends_both_sides(account: Account) -> None:
    if account.peer == "binance":
        pytest.skip("spot has no positions")
    await account.order("position_mode", both_sides=True)
    async with account.followed() as follower:
        await follower.until_equal(account.held)
        await account.order("fill", side="BUY", quantity="1", price="50000", position_side="LONG")
        await account.order("fill", side="SELL", quantity="0.5", price="50000", position_side="SHORT")
        await account.order("withdraw", asset="USDT", amount="99900")
        await follower.until_equal(account.held)
        assert follower.positions[account.symbol, "SHORT"].leverage == 20
        await account.order("liquidate", price="40000")
        await follower.until_equal(account.held)
        assert follower.held() == ({}, {})
        assert follower.incidents == []


async def test_a_change_of_the_modes_while_away_is_what_the_exchange_has_afterwards(account: Account) -> None:
    if account.peer == "binance":
        pytest.skip("spot has no positions")
    await account.move()
    async with account.followed() as follower:
        await follower.until_equal(account.held)
        account.exchange.inject(Drop())
        await account.move()
        await follower.until_equal(account.held)
        short = follower.positions[account.symbol, "SHORT"]
        assert (short.margin_type, short.leverage) == ("isolated", 9)
        assert {where for where, one in follower.positions.items() if one.quantity} == {
            (account.symbol, "LONG"), (account.symbol, "SHORT")
        }  # fmt: skip


async def test_a_change_that_the_stream_has_lost_is_found_by_the_audit(account: Account) -> None:
    async with account.followed(audit_ms=1_000) as follower:
        await follower.until_equal(account.held)
        # spot sends two events of a deposit, USD-M one, for all events and for those of its kind
        account.exchange.inject(Gap(stream="*", count=2 if account.peer == "binance" else 4))
        await account.order("deposit", asset="USDT", amount="1")
        if account.peer == "binance-usdm":
            await account.order("deposit", asset="USDT", amount="1")
        await follower.until(lambda: bool(follower.incidents))
        await follower.until_equal(account.held)
        assert {one.kind for one in follower.incidents} == {"account"}


async def test_an_expired_listen_key_is_met_by_a_new_one(account: Account) -> None:
    if account.peer == "binance":
        pytest.skip("spot has no listen keys")
    async with account.followed() as follower:
        await follower.until_equal(account.held)
        await account.order("listen_keys", life_ms=0)
        await follower.until(lambda: follower.state == "stale")
        await account.order("listen_keys", life_ms=3_600_000)
        await account.move()
        await follower.until_equal(account.held)


async def test_a_listen_key_that_is_gone_is_found_by_keeping_it_alive(account: Account) -> None:
    if account.peer == "binance":
        pytest.skip("spot has no listen keys")
    async with account.followed(keep_s=0.1) as follower:
        await follower.until_equal(account.held)
        first = await account.stream()
        reply = await account.http.delete("/fapi/v1/listenKey", headers={"X-MBX-APIKEY": DEMO_KEY})
        assert reply.status_code == 200
        await account.order("deposit", asset="USDT", amount="5")  # no stream brings it
        await follower.until(lambda: any(state.reason == "the listen key is gone" for state in follower.states))
        await follower.until_equal(account.held)
        assert first != await account.stream()
        assert follower.incidents == []


async def test_a_private_key_signs_too(account: Account) -> None:
    keys: dict[str, Any] = {"api_key": Secret(DEMO_ED25519_KEY), "api_secret": Secret(demo_private_key())}
    async with account.followed(**keys) as follower:
        await account.move()
        await follower.until_equal(account.held)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"api_key": Secret("x" * 64)}, "the venue does not take this key"),
        ({"api_key": Secret("x")}, "is no key of this venue"),
        ({"api_secret": Secret("another")}, "api_secret does not belong to api_key"),
    ],
    ids=["unknown", "no key", "another secret"],
)
async def test_a_wrong_key_is_one_message(account: Account, changes: Any, says: str) -> None:
    with capture_logs() as logs:
        async with account.followed(**changes) as follower:
            await follower.until(lambda: follower.state == "refused")
            assert says in follower.states[-1].reason
    refused = [entry for entry in logs if entry["event"] == "account_refused"]
    assert len(refused) <= 1
    assert len({state.reason for state in follower.states if state.state == "refused"}) == 1
    assert not any(secret in str(logs) for secret in (DEMO_SECRET, DEMO_KEY))


async def test_a_key_that_may_trade_is_refused_with_the_remedy(account: Account) -> None:
    if account.peer == "binance-usdm":
        pytest.skip("this market does not say what a key may do")
    reply = await account.http.post("/control/keys", json={"account": "demo", "powers": ["trade", "withdraw"]})
    new = reply.json()
    keys: dict[str, Any] = {"api_key": Secret(new["api_key"]), "api_secret": Secret(new["secret"])}
    with capture_logs() as logs:
        async with account.followed(**keys, allow_powerful_keys=False) as follower:
            await follower.until(lambda: follower.state == "refused")
    assert "this key may trade, withdraw, and reading is enough" in follower.states[-1].reason
    assert "accounts.allow_powerful_keys" in follower.states[-1].reason
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["account_refused"]
    assert follower.snapshots == 0
    async with account.followed(allow_powerful_keys=False) as follower:  # the demo's key can only read
        await follower.until_equal(account.held)


@pytest.mark.parametrize("by_ms", [5_000, -5_000])
async def test_a_clock_that_is_five_seconds_off_is_one_message_and_no_obstacle(account: Account, by_ms: int) -> None:
    with capture_logs() as logs:
        account.exchange.inject(ClockSkew(by_ms=by_ms))
        async with account.followed() as follower:
            await account.move()
            await follower.until_equal(account.held)
            account.exchange.inject(Drop())
            await account.move()
            await follower.until_equal(account.held)
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["clock_is_off"]


async def test_a_clock_that_leaps_is_met_by_one_correction(account: Account) -> None:
    async with account.followed() as follower:
        await follower.until_equal(account.held)
        account.exchange.inject(ClockSkew(by_ms=9_000))
        account.exchange.inject(Drop())
        await follower.until(lambda: follower.state == "stale")
        await account.move()
        await follower.until_equal(account.held)
