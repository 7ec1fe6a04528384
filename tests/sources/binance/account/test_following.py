"""Accounts of both markets against the replay exchange: whatever happens to the stream, what is shown as live is what
the exchange has.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from flows.clock import wall_ms
from flows.model.secret import Secret
from sources.binance.rest import BinanceRest
from sources.binance.venue import BINANCE, BINANCE_USDM
from sources.replay.accounts.keys import DEMO_ED25519_KEY, DEMO_KEY, DEMO_SECRET, demo_private_key
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import AnyFault, ClockSkew, Drop, Duplicate, Gap, HalfOpen, Reorder
from sources.replay.market.market import MarketKind
from tests.fakes.account_follower import Follower, Settings, following
from tests.fakes.scripted_market import ScriptedMarket

VENUES = {"spot": BINANCE, "usdm": BINANCE_USDM}
MARKETS: tuple[MarketKind, ...] = ("spot", "usdm")


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


class Account:
    """An account of an exchange, and who follows it."""

    def __init__(self, kind: MarketKind, exchange: ReplayExchange, http: httpx.AsyncClient) -> None:
        self.kind = kind
        self.exchange = exchange
        self.http = http

    async def order(self, do: str, **fields: Any) -> None:
        reply = await self.http.post("/control/accounts", json={"do": do, **fields})
        assert reply.status_code == 200, reply.text

    async def move(self) -> None:
        """Something of everything that the market has."""
        await self.order("deposit", asset="USDT", amount="12.5")
        await self.order("fill", symbol="BTCUSDT", side="BUY", quantity="0.02", price="50000")
        if self.kind == "spot":
            await self.order("lock", asset="USDT", amount="7")
            await self.order("withdraw", asset="USDT", amount="3")
        else:
            await self.order("funding", symbol="BTCUSDT", rate="0.0001")
            await self.order("leverage", symbol="BTCUSDT", leverage=7)
            await self.order("fill", symbol="BTCUSDT", side="SELL", quantity="0.05", price="51000")

    async def held(self) -> Any:
        """What the exchange says, in the form of `Follower.held`."""
        [account] = (await self.http.get("/control/accounts")).json()["accounts"]
        return (held_on_spot if self.kind == "spot" else held_on_usdm)(account)

    @asynccontextmanager
    async def followed(self, *, audit_ms: int = 600_000, **changes: Any) -> AsyncIterator[Follower]:
        venue = VENUES[self.kind]
        keys = {"api_key": Secret(DEMO_KEY), "api_secret": Secret(DEMO_SECRET)}
        address = {"rest_url": self.exchange.rest_url, "ws_url": self.exchange.ws_url}
        settings = Settings(**{"venue": venue.name, **keys, **address, **changes})
        rest = BinanceRest.of(_FeedSettings(venue.name, self.exchange.rest_url), Rules())  # type: ignore[arg-type]
        assert venue.account is not None
        async with rest, following(venue.account(settings, rest), settings, audit_ms=audit_ms) as follower:
            yield follower


class _FeedSettings:
    origin = "replay"
    streams = ("aggTrade",)

    def __init__(self, venue: str, rest_url: str) -> None:
        self.venue = venue
        self.rest_url = rest_url


def held_on_spot(account: Any) -> Any:
    rows = account["balances"]
    return {row["asset"]: (Decimal(row["free"]), Decimal(row["locked"])) for row in rows}, {}


def held_on_usdm(account: Any) -> Any:
    """Its positions share one wallet: nothing of it is locked."""
    balances = {asset: (Decimal(amount), Decimal(0)) for asset, amount in account["wallets"].items()}
    amounts = {row["symbol"]: Decimal(row["amount"]) for row in account["positions"]}
    return balances, {(s, "LONG" if q > 0 else "SHORT"): abs(q) for s, q in amounts.items() if q}


@pytest.fixture(params=MARKETS)
async def account(request: pytest.FixtureRequest) -> AsyncIterator[Account]:
    async with (
        running_exchange(TimelyMarket(kind=request.param), start_now=True) as exchange,
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
        await account.move()
        await follower.until_equal(account.held)
        await account.move()
        await follower.until_equal(account.held)
        assert follower.incidents == []


async def test_a_change_that_the_stream_has_lost_is_found_by_the_audit(account: Account) -> None:
    async with account.followed(audit_ms=1_000) as follower:
        await follower.until_equal(account.held)
        # spot sends two events of a deposit, USD-M one, for all events and for those of its kind
        account.exchange.inject(Gap(stream="*", count=2 if account.kind == "spot" else 4))
        await account.order("deposit", asset="USDT", amount="1")
        if account.kind == "usdm":
            await account.order("deposit", asset="USDT", amount="1")
        await follower.until(lambda: bool(follower.incidents))
        await follower.until_equal(account.held)
        assert {one.kind for one in follower.incidents} == {"account"}


async def test_an_expired_listen_key_is_met_by_a_new_one(account: Account) -> None:
    if account.kind == "spot":
        pytest.skip("spot has no listen keys")
    async with account.followed() as follower:
        await follower.until_equal(account.held)
        await account.order("listen_keys", life_ms=0)
        await follower.until(lambda: follower.state == "stale")
        await account.order("listen_keys", life_ms=3_600_000)
        await account.move()
        await follower.until_equal(account.held)


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
    if account.kind == "usdm":
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
