"""The REST queries that USD-M answers and spot does not: mark price, funding, open interest.

Sources: pages `Mark-Price`, `Get-Funding-Rate-History`, `Get-Funding-Rate-Info`, `Open-Interest` and
`Open-Interest-Statistics` of the REST interface of USD-M futures. Requests about funding have a limit of their own, 500
within five minutes on one address, and so has the history of open interest, 1,000; neither costs weight that counts.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta, Struct

from flows.bounds import fault_of
from flows.model import Funding, FundingTerms, MarkReport, OpenInterest
from flows.queries import (
    FundingQuery,
    FundingTermsQuery,
    MarkQuery,
    OpenInterestHistoryQuery,
    OpenInterestQuery,
    Query,
    Urgency,
)
from sources.binance.rest import BinanceRest
from sources.binance.usdm_wire import NoRate, Rate, TimeOrZero
from sources.binance.wire import Price, PriceOrZero, QuantityOrZero, Time
from sources.rest.answers import ANSWERED, decoded, rising
from sources.rest.client import RestClient, VenueError
from sources.rest.rate_limit import RateLimiter
from sources.venue import VenueRest

FUNDING_PAGE: Final = 1_000
INTEREST_PAGE: Final = 500
INTEREST_PERIOD: Final = "5m"
"""The closest that the history of open interest is."""
INTEREST_KEPT_MS: Final = 29 * 86_400_000
"""The exchange keeps thirty days; a start that is older is refused."""
TERMS_KEPT_S: Final = 3_600.0
"""How long the list of the terms of all instruments is believed: one request brings those of all."""
_FUNDING_A_MINUTE = 80
"""Of the 100 a minute that 500 within five minutes allow."""
_HISTORY_A_MINUTE = 160
"""Of 200."""
_MOST_UNDER_WAY = 4
_WEIGHT = 1
"""Of a request with a symbol; those without weight at the exchange count as much here, which is on the safe side."""
_USUAL_INTERVAL_HOURS = 8
"""Where the list of terms, which names adjusted instruments only, does not name one."""
_MARK_PATH = "/fapi/v1/premiumIndex"
_FUNDING_PATH = "/fapi/v1/fundingRate"
_TERMS_PATH = "/fapi/v1/fundingInfo"
_INTEREST_PATH = "/fapi/v1/openInterest"
_HISTORY_PATH = "/futures/data/openInterestHist"


class _Mark(Struct, frozen=True, rename="camel"):
    """{"symbol":"BTCUSDT","markPrice":"93120.51","indexPrice":"93150.87","estimatedSettlePrice":"93119.09",
    "lastFundingRate":"0.00010000","interestRate":"0.00010000","nextFundingTime":1767254400000,"time":1767225601000}
    """

    symbol: str
    mark_price: Price
    time: Time
    index_price: PriceOrZero = 0.0
    estimated_settle_price: PriceOrZero = 0.0
    last_funding_rate: Rate | NoRate = ""
    next_funding_time: TimeOrZero = 0


class _Funding(Struct, frozen=True, rename="camel"):
    """{"symbol":"BTCUSDT","fundingTime":1767225600000,"fundingRate":"0.00010000","markPrice":"93120.51"}; old ones have
    no mark price.
    """

    funding_time: Time
    funding_rate: Rate
    mark_price: PriceOrZero | NoRate = ""


class _Terms(Struct, frozen=True, rename="camel"):
    """{"symbol":"BLZUSDT","adjustedFundingRateCap":"0.02500000","adjustedFundingRateFloor":"-0.02500000",
    "fundingIntervalHours":8,"disclaimer":false}
    """

    symbol: str
    adjusted_funding_rate_cap: Rate
    adjusted_funding_rate_floor: Rate
    funding_interval_hours: Annotated[int, Meta(ge=1, le=24)] = _USUAL_INTERVAL_HOURS


class _Interest(Struct, frozen=True, rename="camel"):
    """{"openInterest":"10659.509","symbol":"BTCUSDT","time":1767225601000}"""

    open_interest: QuantityOrZero
    time: Time


class _InterestRow(Struct, frozen=True, rename="camel"):
    """{"symbol":"BTCUSDT","sumOpenInterest":"10659.509","sumOpenInterestValue":"992610442.79","timestamp":…}"""

    sum_open_interest: QuantityOrZero
    sum_open_interest_value: QuantityOrZero
    timestamp: Time


_MARK = msgspec.json.Decoder(_Mark, strict=False)
_FUNDING = msgspec.json.Decoder(list[_Funding], strict=False)
_TERMS = msgspec.json.Decoder(list[_Terms], strict=False)
_INTEREST = msgspec.json.Decoder(_Interest, strict=False)
_HISTORY = msgspec.json.Decoder(list[_InterestRow], strict=False)


class UsdmDerivatives:
    """Queries of what derivatives have. Every method raises `VenueError`."""

    def __init__(self, client: RestClient, *, venue: str, local_s: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._venue = venue
        self._local_s = local_s
        self._funding_limit = RateLimiter(_FUNDING_A_MINUTE, most_under_way=_MOST_UNDER_WAY)
        self._history_limit = RateLimiter(_HISTORY_A_MINUTE, most_under_way=_MOST_UNDER_WAY)
        self._terms: dict[str, FundingTerms] = {}
        self._terms_until = local_s()
        self._terms_lock = asyncio.Lock()

    @classmethod
    def of(cls, rest: VenueRest) -> Self:
        """On the client of this venue's REST interface."""
        assert isinstance(rest, BinanceRest)  # noqa: S101 - the venue's entry pairs them
        return cls(rest.client, venue=rest.venue)

    async def mark(self, query: MarkQuery) -> MarkReport:
        """`premiumIndex` of one symbol."""
        row = decoded(_MARK, await self._get(_MARK_PATH, query), _MARK_PATH)
        rate = row.last_funding_rate if row.next_funding_time else ""
        report = MarkReport(
            symbol=query.symbol,
            event_time=row.time,
            mark_price=row.mark_price,
            index_price=row.index_price,
            settle_price=row.estimated_settle_price,
            funding_rate=None if isinstance(rate, str) else rate,
            next_funding_time=row.next_funding_time,
        )
        reason = fault_of(report) or ("" if row.symbol == query.symbol else f"it is of {row.symbol!r:.40}")
        if reason:
            raise VenueError(f"{_MARK_PATH}: the answer cannot be true: {reason}", status=ANSWERED)
        return report

    async def funding(self, query: FundingQuery) -> list[Funding]:
        """`fundingRate`: one page, from the start of the query on."""
        body = await self._limited(
            self._funding_limit,
            _FUNDING_PATH,
            query.urgency,
            symbol=query.symbol,
            startTime=query.start,
            endTime=query.end,
            limit=FUNDING_PAGE,
        )
        found = decoded(_FUNDING, body, _FUNDING_PATH)
        rows = rising(found, lambda row: row.funding_time, query.start, query.end)
        return [
            Funding(
                venue=self._venue,
                symbol=query.symbol,
                time=row.funding_time,
                rate=row.funding_rate,
                mark_price=row.mark_price or None,
            )
            for row in rows
        ]

    async def funding_terms(self, query: FundingTermsQuery) -> FundingTerms | None:
        """Of `fundingInfo`, which lists the instruments with adjusted terms; of the others only the interval is known.
        It is requested at most once in `TERMS_KEPT_S`.
        """
        async with self._terms_lock:
            if self._local_s() >= self._terms_until:
                body = await self._limited(self._funding_limit, _TERMS_PATH, query.urgency)
                rows = decoded(_TERMS, body, _TERMS_PATH)
                self._terms = {row.symbol: _terms_of(row) for row in rows}
                self._terms_until = self._local_s() + TERMS_KEPT_S
        return self._terms.get(query.symbol) or FundingTerms(query.symbol, _USUAL_INTERVAL_HOURS)

    async def open_interest(self, query: OpenInterestQuery) -> OpenInterest:
        """`openInterest` of one symbol."""
        row = decoded(_INTEREST, await self._get(_INTEREST_PATH, query), _INTEREST_PATH)
        return OpenInterest(self._venue, query.symbol, row.time, row.open_interest)

    async def open_interest_history(self, query: OpenInterestHistoryQuery) -> list[OpenInterest]:
        """`openInterestHist` in steps of `INTEREST_PERIOD`: one page, of the newest rows of the time."""
        body = await self._limited(
            self._history_limit,
            _HISTORY_PATH,
            query.urgency,
            symbol=query.symbol,
            period=INTEREST_PERIOD,
            startTime=max(query.start, query.end - INTEREST_KEPT_MS),
            endTime=query.end,
            limit=INTEREST_PAGE,
        )
        found = decoded(_HISTORY, body, _HISTORY_PATH)
        rows = rising(found, lambda row: row.timestamp, query.start, query.end)
        return [
            OpenInterest(self._venue, query.symbol, row.timestamp, row.sum_open_interest, row.sum_open_interest_value)
            for row in rows
        ]

    async def _get(self, path: str, query: Query) -> bytes:
        return await self._client.get(path, weight=_WEIGHT, urgency=query.urgency, symbol=query.symbol)

    async def _limited(self, limiter: RateLimiter, path: str, urgency: Urgency, **params: int | str) -> bytes:
        """A request with a limit of its own, besides that of all."""
        async with limiter.acquire(_WEIGHT, urgency) as permit:
            permit.is_sent = True
            return await self._client.get(path, weight=_WEIGHT, urgency=urgency, **params)


def _terms_of(row: _Terms) -> FundingTerms:
    return FundingTerms(
        row.symbol, row.funding_interval_hours, row.adjusted_funding_rate_cap, row.adjusted_funding_rate_floor
    )
