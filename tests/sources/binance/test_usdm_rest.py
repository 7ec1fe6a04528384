"""Mark price, funding and open interest over REST: of the replay exchange, and of one that answers anything."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from flows.bounds import fault_of
from flows.model import Funding, FundingTerms, MarkReport, OpenInterest
from flows.queries import (
    FundingQuery,
    FundingTermsQuery,
    MarkQuery,
    OpenInterestHistoryQuery,
    OpenInterestQuery,
)
from flows.settings import Feed, Rest
from sources.binance.rest import BinanceRest
from sources.binance.usdm_rest import UsdmDerivatives
from sources.replay.exchange.server import running_exchange
from sources.replay.market.contracts import CAP, FUNDING_MS, Contract
from sources.replay.synthetic.market import SyntheticMarket
from sources.rest.client import VenueError
from sources.venues import VENUES
from tests.fakes.mutations import mutated

BEGIN = 1_767_225_600_000 + 2 * FUNDING_MS + 60_000
SYMBOL = "BTCUSDT"
ROW: dict[str, Any] = {
    "symbol": SYMBOL, "markPrice": "93120.51", "indexPrice": "93150.87", "estimatedSettlePrice": "93119.09",
    "lastFundingRate": "0.00010000", "interestRate": "0.00010000", "nextFundingTime": BEGIN + FUNDING_MS,
    "time": BEGIN,
}  # fmt: skip


def feed(url: str) -> Feed:
    return Feed(venue="binance-usdm", origin="replay", rest_url=url)


@asynccontextmanager
async def derivatives(url: str) -> AsyncIterator[UsdmDerivatives]:
    async with BinanceRest.of(feed(url), Rest(tries=1)) as rest:
        yield UsdmDerivatives.of(rest)


@asynccontextmanager
async def played() -> AsyncIterator[UsdmDerivatives]:
    market = SyntheticMarket("usdm", [SYMBOL], seed=5, start_ms=BEGIN, trades_per_s=2.0)
    async with running_exchange(market) as exchange, derivatives(exchange.rest_url) as found:
        yield found


class Scripted:
    """Answers each path with a body of its own, and counts the requests."""

    def __init__(self, **bodies: bytes) -> None:
        self.bodies = bodies
        self.requests: list[str] = []

    async def on_request(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        return web.Response(body=self.bodies[request.path.rpartition("/")[2]], content_type="application/json")


@asynccontextmanager
async def answering(script: Scripted) -> AsyncIterator[UsdmDerivatives]:
    app = web.Application()
    app.router.add_get("/{path:.*}", script.on_request)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with derivatives(f"http://127.0.0.1:{runner.addresses[0][1]}") as found:
            yield found
    finally:
        await runner.cleanup()


async def test_all_of_it_from_the_replay_exchange() -> None:
    async with played() as rest:
        mark = await rest.mark(MarkQuery(SYMBOL))
        assert fault_of(mark) == ""
        assert mark.next_funding_time == Contract(SYMBOL).next_funding(BEGIN)
        assert mark.funding_rate == float(Contract(SYMBOL).rate(mark.next_funding_time))
        paid = await rest.funding(FundingQuery(SYMBOL, BEGIN - 3 * FUNDING_MS, BEGIN))
        assert [one.time for one in paid] == [BEGIN - 60_000 - hours * FUNDING_MS for hours in (2, 1, 0)]
        assert [one.rate for one in paid] == [float(Contract(SYMBOL).rate(one.time)) for one in paid]
        terms = await rest.funding_terms(FundingTermsQuery(SYMBOL))
        assert terms == FundingTerms(SYMBOL, 8, CAP, -CAP)
        now = await rest.open_interest(OpenInterestQuery(SYMBOL))
        past = await rest.open_interest_history(OpenInterestHistoryQuery(SYMBOL, BEGIN - 3_600_000, BEGIN))
        assert len(past) == 12
        assert all(one.value is not None and one.time <= BEGIN for one in past)
        assert now.quantity == pytest.approx(past[-1].quantity, rel=0.05)


async def test_each_field_of_an_answer() -> None:
    script = Scripted(
        premiumIndex=json.dumps(ROW).encode(),
        fundingRate=b'[{"symbol":"BTCUSDT","fundingTime":1767225600000,"fundingRate":"-0.00031000","markPrice":""},'
        b'{"symbol":"BTCUSDT","fundingTime":1767254400001,"fundingRate":"0.00010000","markPrice":"93120.51"}]',
        openInterest=b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1767225601000}',
        openInterestHist=b'[{"symbol":"BTCUSDT","sumOpenInterest":"5.5","sumOpenInterestValue":"512.25",'
        b'"CMCCirculatingSupply":"165880.538","timestamp":1767225600000}]',
    )
    async with answering(script) as rest:
        assert await rest.mark(MarkQuery(SYMBOL)) == MarkReport(
            SYMBOL, BEGIN, 93120.51, 93150.87, 93119.09, 0.0001, BEGIN + FUNDING_MS
        )
        assert await rest.funding(FundingQuery(SYMBOL, 1_767_225_600_000, BEGIN)) == [
            Funding("binance-usdm", SYMBOL, 1_767_225_600_000, -0.00031, None),
            Funding("binance-usdm", SYMBOL, 1_767_254_400_001, 0.0001, 93120.51),
        ]
        assert await rest.open_interest(OpenInterestQuery(SYMBOL)) == OpenInterest(
            "binance-usdm", SYMBOL, 1_767_225_601_000, 10659.509
        )
        assert await rest.open_interest_history(OpenInterestHistoryQuery(SYMBOL, 0, BEGIN)) == [
            OpenInterest("binance-usdm", SYMBOL, 1_767_225_600_000, 5.5, 512.25)
        ]
    assert script.requests[1] == (
        f"/fapi/v1/fundingRate?symbol=BTCUSDT&startTime=1767225600000&endTime={BEGIN}&limit=1000"
    )
    assert script.requests[3].startswith("/futures/data/openInterestHist?symbol=BTCUSDT&period=5m&startTime=")


async def test_a_contract_with_an_end_has_no_funding() -> None:
    ended = ROW | {"lastFundingRate": "", "nextFundingTime": 0}
    async with answering(Scripted(premiumIndex=json.dumps(ended).encode())) as rest:
        mark = await rest.mark(MarkQuery(SYMBOL))
    assert (mark.funding_rate, mark.next_funding_time) == (None, 0)


async def test_the_terms_of_all_instruments_are_one_request_and_hold_for_a_while() -> None:
    script = Scripted(
        fundingInfo=b'[{"symbol":"ETHUSDT","adjustedFundingRateCap":"0.03","adjustedFundingRateFloor":"-0.01",'
        b'"fundingIntervalHours":4,"disclaimer":false}]'
    )
    async with answering(script) as rest:
        assert await rest.funding_terms(FundingTermsQuery("ETHUSDT")) == FundingTerms("ETHUSDT", 4, 0.03, -0.01)
        assert await rest.funding_terms(FundingTermsQuery(SYMBOL)) == FundingTerms(SYMBOL, 8)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "changes",
    [{"symbol": "ETHUSDT"}, {"markPrice": "0"}, {"indexPrice": "1"}, {"time": 5}, {"nextFundingTime": BEGIN + 10**10}],
)
async def test_a_mark_price_that_cannot_be_true_is_an_error(changes: dict[str, Any]) -> None:
    async with answering(Scripted(premiumIndex=json.dumps(ROW | changes).encode())) as rest:
        with pytest.raises(VenueError):
            await rest.mark(MarkQuery(SYMBOL))


async def test_rows_beyond_the_query_or_out_of_order_are_dropped() -> None:
    rows = [
        {"symbol": SYMBOL, "fundingTime": BEGIN + shift, "fundingRate": "0.0001", "markPrice": "1"}
        for shift in (-5, 0, 7, 3, 7, 10, 11)
    ]
    async with answering(Scripted(fundingRate=json.dumps(rows).encode())) as rest:
        found = await rest.funding(FundingQuery(SYMBOL, BEGIN, BEGIN + 10))
    assert [one.time - BEGIN for one in found] == [0, 7, 10]


async def test_no_answer_is_anything_but_an_answer_or_a_venue_error() -> None:
    bodies = {
        "premiumIndex": json.dumps(ROW).encode(),
        "fundingRate": b'[{"symbol":"BTCUSDT","fundingTime":1767225600000,"fundingRate":"0.0001","markPrice":"1"}]',
        "fundingInfo": b'[{"symbol":"BTCUSDT","adjustedFundingRateCap":"0.03","adjustedFundingRateFloor":"-0.01"}]',
        "openInterest": b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1767225601000}',
        "openInterestHist": b'[{"sumOpenInterest":"5.5","sumOpenInterestValue":"5","timestamp":1767225600000}]',
    }
    script = Scripted(**bodies)
    async with answering(script) as rest:
        for seed in range(40):
            script.bodies = {
                name: mutated(body, seed, others=[*bodies.values()]).frame for name, body in bodies.items()
            }
            for query in (
                lambda: rest.mark(MarkQuery(SYMBOL)),
                lambda: rest.funding(FundingQuery(SYMBOL, BEGIN - 10**11, BEGIN)),
                lambda: rest.open_interest(OpenInterestQuery(SYMBOL)),
            ):
                try:
                    found = await query()
                except VenueError:
                    continue
                for one in found if isinstance(found, list) else [found]:
                    assert fault_of(one) == ""


def test_of_the_venues_usdm_alone_has_them() -> None:
    assert {name for name, venue in VENUES.items() if venue.derivatives} == {"binance-usdm"}
    assert all(bool(venue.derivatives) == venue.rules.has_derivatives for venue in VENUES.values())
    assert all(Feed(venue=name).has_derivatives == venue.rules.has_derivatives for name, venue in VENUES.items())  # type: ignore[arg-type]
