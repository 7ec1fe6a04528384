"""What derivatives have: mark prices, funding, open interest and liquidations, now from the live view, and their past
from the store.
"""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import LATEST_ERRORS, AnyRoute, Route, Symbol, Time, Venue
from api.live.freshness import OF_LIQUIDATIONS, OF_MARK, is_stale, state_name
from api.live.messages import HubMessage
from api.routes.prices import LIST_ERRORS, OfSymbols, chosen_states
from api.services import Services
from flows.model import Funding, Instrument, Liquidation, OpenInterest
from sinks.hub.payloads import (
    FundingBody,
    FundingRow,
    LiquidationBody,
    MarkPriceBody,
    OpenInterestBody,
)

MARK_AGE_MS: Final = 60_000
"""Age from which a mark price or a rate of funding is stale, where the flow publishes no state of it: REST brings one
twice as often.
"""
POLLS: Final = 3
"""Open interest is stale when so many of its queries have not brought a newer one."""

Count = Annotated[int, Meta(ge=1, le=1_000)]


class MarkParams(Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument."""

    symbol: Symbol
    venue: Venue = ""


class PastParams(Struct, frozen=True, forbid_unknown_fields=True):
    """An instrument, and how much of its past: the newest `limit` in `[start, end)`."""

    symbol: Symbol
    venue: Venue = ""
    limit: Count = 100
    start: Time = 0
    end: Time | None = None


class MarkPriceAnswer(MarkPriceBody, frozen=True, kw_only=True):
    """The newest mark price."""

    age_ms: int
    stale: bool
    state: str | None
    """`live`, `silent`, …; null where the flow publishes none, as where the stream is not subscribed."""


class CurrentFunding(FundingBody, frozen=True, kw_only=True):
    """The funding at present."""

    in_ms: int | None
    """Until the next payment, in the venue's time; null where it is not known."""
    stale: bool
    state: str | None


class FundingAnswer(Struct, frozen=True):
    """`current` is null where nothing is known; `history` has the settled payments, oldest first."""

    venue: str
    symbol: str
    current: CurrentFunding | None
    history: list[FundingRow]


class CurrentOpenInterest(OpenInterestBody, frozen=True, kw_only=True):
    """The newest open interest."""

    age_ms: int
    stale: bool


class OpenInterestAnswer(Struct, frozen=True):
    """`current` is null where nothing is known; `history` is oldest first."""

    venue: str
    symbol: str
    current: CurrentOpenInterest | None
    history: list[OpenInterestBody]


class LiquidationsAnswer(Struct, frozen=True):
    """Oldest first. `state` is that of the stream: while it is not current, some may be missing."""

    venue: str
    symbol: str
    liquidations: list[LiquidationBody]
    stale: bool
    state: str | None


class _Handlers:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._live, self._mongo, self._instruments = services.live, services.mongo, services.instruments
        self._poll_ms = int(services.settings.feed.open_interest_s * 1_000)

    async def mark_price(self, params: MarkParams) -> MarkPriceAnswer:
        """The mark price of a derivative."""
        instrument = await self._instruments.find(params.symbol, params.venue)
        found = self._live.latest("MarkPrice", instrument.symbol, instrument.venue)
        if found is None:
            raise Problem("no_data", f"{instrument.symbol} has no mark price, or none yet")
        message, age_ms = found
        state = self._live.channel_state(instrument.symbol, instrument.venue, OF_MARK)
        body = _fields(message.body)
        return MarkPriceAnswer(
            **body, age_ms=age_ms, stale=is_stale(state, age_ms, MARK_AGE_MS), state=state_name(state)
        )

    async def funding(self, params: PastParams) -> FundingAnswer:
        """The funding of a derivative: what is to come, and the settled payments."""
        instrument = await self._instruments.find(params.symbol, params.venue)
        past = await self._mongo.records(Funding, *instrument, params.limit, params.start, params.end)
        found = self._live.latest("Funding", instrument.symbol, instrument.venue)
        if found is None and not past:
            raise Problem("no_data", f"no funding of {instrument.symbol} is known")
        current = self._current_funding(instrument, *found) if found else None
        return FundingAnswer(instrument.venue, instrument.symbol, current, [FundingRow.of(one) for one in past])

    async def fundings(self, params: OfSymbols) -> list[CurrentFunding]:
        """The funding of every contract at present, in alphabetical order of the symbols."""
        found: list[CurrentFunding] = []
        for venue_state, wanted in await chosen_states(self._services, params):
            latest = [one for one in venue_state.all_latest("Funding") if not wanted or one.symbol in wanted]
            ages = venue_state.ages_ms(latest)
            found += [
                self._current_funding(Instrument(one.venue, one.symbol), one, age_ms)
                for one, age_ms in zip(latest, ages, strict=True)
            ]
        return found

    def _current_funding(self, instrument: Instrument, message: HubMessage, age_ms: int) -> CurrentFunding:
        state = self._live.channel_state(instrument.symbol, instrument.venue, OF_MARK)
        body = message.body
        in_ms = None
        if body.next_time:
            in_ms = max(0, body.next_time - message.time_ms - age_ms)
        marked = self._live.latest("MarkPrice", instrument.symbol, instrument.venue)
        stale = is_stale(state, marked[1] if marked else age_ms, MARK_AGE_MS)
        return CurrentFunding(**_fields(body), in_ms=in_ms, stale=stale, state=state_name(state))

    async def open_interest(self, params: PastParams) -> OpenInterestAnswer:
        """The open interest of a derivative, now and in the past."""
        instrument = await self._instruments.find(params.symbol, params.venue)
        past = await self._mongo.records(OpenInterest, *instrument, params.limit, params.start, params.end)
        found = self._live.latest("OpenInterest", instrument.symbol, instrument.venue)
        if found is None and not past:
            raise Problem("no_data", f"no open interest of {instrument.symbol} is known")
        current = None
        if found:
            message, age_ms = found
            stale = is_stale(None, age_ms, POLLS * self._poll_ms)
            current = CurrentOpenInterest(**_fields(message.body), age_ms=age_ms, stale=stale)
        rows = [OpenInterestBody.of(one) for one in past]
        return OpenInterestAnswer(instrument.venue, instrument.symbol, current, rows)

    async def liquidations(self, params: PastParams) -> LiquidationsAnswer:
        """The liquidations of a derivative."""
        instrument = await self._instruments.find(params.symbol, params.venue)
        past = await self._mongo.records(Liquidation, *instrument, params.limit, params.start, params.end)
        state = self._live.channel_state(instrument.symbol, instrument.venue, OF_LIQUIDATIONS)
        return LiquidationsAnswer(
            instrument.venue,
            instrument.symbol,
            [LiquidationBody.of(one) for one in past],
            is_stale(state, None, 0),
            state_name(state),
        )


def _fields(body: Struct) -> dict[str, Any]:
    return {name: getattr(body, name) for name in body.__struct_fields__}


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    of, errors = _Handlers(services), LATEST_ERRORS
    return [
        Route("GET", "/api/mark-price/{symbol}", of.mark_price, MarkPriceAnswer, MarkParams, errors=errors),
        Route("GET", "/api/funding", of.fundings, list[CurrentFunding], OfSymbols, errors=LIST_ERRORS),
        Route("GET", "/api/funding/{symbol}", of.funding, FundingAnswer, PastParams, errors=errors),
        Route("GET", "/api/open-interest/{symbol}", of.open_interest, OpenInterestAnswer, PastParams, errors=errors),
        Route("GET", "/api/liquidations/{symbol}", of.liquidations, LiquidationsAnswer, PastParams, errors=errors),
    ]
