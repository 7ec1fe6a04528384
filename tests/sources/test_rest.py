"""The shared client against the replay exchange, and against one that never answers."""

import socket

import pytest

from flows.settings import Rest
from sources.replay import faults
from sources.replay.limits import SPOT_LIMITS
from sources.replay.server import running_exchange
from sources.replay.synthetic import SyntheticMarket
from sources.rest import BREAKER_FAILURES, RestClient, VenueError

HEADER = "X-MBX-USED-WEIGHT-1M"
PING = "/api/v3/ping"


def market() -> SyntheticMarket:
    return SyntheticMarket("spot", ("BTCUSDT",), seed=1, start_ms=1_767_225_600_000)


def client(url: str, **settings: float) -> RestClient:
    return RestClient(
        url,
        settings=Rest(**settings),  # type: ignore[arg-type]
        weight_per_minute=SPOT_LIMITS.weight_per_minute,
        weight_header=HEADER,
    )


async def test_an_answer_and_what_the_venue_counts() -> None:
    async with running_exchange(market(), speed=1.0) as exchange:
        rest = client(exchange.rest_url)
        assert await rest.get(PING) == b"{}"
        await rest.get("/api/v3/exchangeInfo", weight=20)
        assert rest.budget.used == 21
        await rest.aclose()


async def test_a_refusal_is_typed_and_not_tried_again() -> None:
    async with running_exchange(market(), speed=1.0) as exchange:
        rest = client(exchange.rest_url)
        with pytest.raises(VenueError, match="Invalid symbol") as caught:
            await rest.get("/api/v3/klines", symbol="NONE", interval="1m")
        assert (caught.value.status, caught.value.code, caught.value.is_passing) == (400, -1121, False)
        await rest.aclose()


@pytest.mark.parametrize("status", [500, 503])
async def test_a_bad_moment_is_waited_out(status: int) -> None:
    async with running_exchange(market(), speed=1.0) as exchange:
        exchange.inject(faults.Refuse(status=status, count=2))  # type: ignore[arg-type]
        rest = client(exchange.rest_url)
        assert await rest.get(PING) == b"{}"
        await rest.aclose()


@pytest.mark.parametrize("status", [429, 418])
async def test_a_venue_that_wants_to_be_left_alone_is_not_asked_before_its_time(status: int) -> None:
    async with running_exchange(market(), speed=1.0) as exchange:
        exchange.inject(faults.Refuse(status=status, count=1, retry_after_s=1))  # type: ignore[arg-type]
        rest = client(exchange.rest_url)
        assert await rest.get(PING) == b"{}"  # after that second
        exchange.inject(faults.Refuse(status=status, count=1, retry_after_s=90))  # type: ignore[arg-type]
        with pytest.raises(VenueError, match="left alone for another"):
            await rest.get(PING)
        assert rest.budget.held_for_s > 80
        await rest.aclose()


async def test_a_venue_that_is_down_is_left_alone_for_a_while() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        rest = client(f"http://127.0.0.1:{nobody.getsockname()[1]}", tries=1)
        for _ in range(BREAKER_FAILURES):
            with pytest.raises(VenueError) as caught:
                await rest.get(PING)
            assert (caught.value.status, caught.value.is_passing) == (0, True)
        with pytest.raises(VenueError, match="failed 5 times in a row"):
            await rest.get(PING)
        await rest.aclose()
