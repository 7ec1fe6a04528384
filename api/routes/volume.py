"""Volume profile and liquidity vacuums, from the stored trades of the last hours, or for the profile of any time.

The hours end with the newest stored trade, so a replay of an old day works as on that day.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta, Struct, structs

from api.analytics.profile import Step, VolumeByPrice, VolumeProfile
from api.analytics.vacuums import PERCENTILE, WIDTH, Vacuum, find_vacuums
from api.http.errors import Problem
from api.http.route import STORE_ERRORS, SYMBOL_ERRORS, AnyRoute, Route, Symbol, Time, Venue
from api.live.freshness import OF_TRADES, age_ms, is_stale, state_name
from api.services import Services
from flows.modules.late import late_module
from flows.texts import counted
from sinks.hub.payloads import iso_utc
from sinks.trades.codec import END_MS

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

HOUR_MS: Final = 3_600_000
MOST_HOURS: Final = 168
COLUMNS: Final = ("id", "time", "price", "quantity", "buyer_is_maker")
ERRORS: Final = ("bad_request", *SYMBOL_ERRORS, "no_data", "collecting", "trade_store_absent", *STORE_ERRORS)
Share = Annotated[float, Meta(ge=0.01, le=1)]
Hours = Annotated[int, Meta(ge=1, le=MOST_HOURS)]


class ProfileParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Trades of the last `hours`, or of `[start, end)`, which is a week at most, in at most `bins` rows, or in rows of
    `tick`; the value area grows by `step` rows at a time, 2 as on TradingView. With fewer than `min_trades` the
    response is the error `collecting`, with the time to wait.
    """

    symbol: Symbol
    venue: Venue = ""
    hours: Hours = 24
    start: Time | None = None
    end: Time | None = None
    bins: Annotated[int, Meta(ge=1, le=1_000)] = 100
    tick: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    value_area: Share = 0.7
    step: Step = 2
    min_trades: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000


class VacuumParams(Struct, frozen=True, forbid_unknown_fields=True):
    """A profile and its thin rows: the lowest `percentile` of rows relative to the `width` on either side."""

    symbol: Symbol
    venue: Venue = ""
    hours: Hours = 24
    bins: Annotated[int, Meta(ge=10, le=1_000)] = 200
    percentile: Annotated[float, Meta(ge=1, le=50)] = PERCENTILE
    width: Annotated[int, Meta(ge=1, le=100)] = WIDTH
    min_trades: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000


class Basis(Struct, frozen=True):
    """The trades behind a response: time of the first and last, age of the last (null where the venue's time is
    unknown), and the share of the ids issued between them that are stored.
    """

    start: str
    end: str
    age_ms: int | None
    completeness: float


class ProfileAnswer(Struct, frozen=True):
    """How much was traded at which price."""

    venue: str
    symbol: str
    basis: Basis
    profile: VolumeProfile
    stale: bool
    """Trades up to now are not known to be included."""
    state: str | None
    """How current the trades of the symbol are; null where the flow publishes no states."""


class VacuumAnswer(Struct, frozen=True):
    """Zones that hardly traded, the nearest to the price first. `has_book`: resting quantities are known as far as
    the book's levels reach.
    """

    venue: str
    symbol: str
    basis: Basis
    price: float
    has_book: bool
    vacuums: list[Vacuum]
    stale: bool
    state: str | None


class _Traded(Struct):
    """The trades read of a symbol, summed."""

    counted: VolumeByPrice
    first_id: int = END_MS
    last_id: int = -1
    last: tuple[int, float] = (-1, 0.0)
    """Id and price of the newest trade."""

    def take(self, frame: pl.DataFrame) -> None:
        """Adds a frame."""
        self.counted.add(frame)
        self.first_id = min(self.first_id, frame.item(0, "id"))
        self.last = max(self.last, (frame.item(-1, "id"), frame.item(-1, "price")))
        self.last_id = self.last[0]


class Volumes:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limit_ms = int(services.settings.api.indicator_age_s * 1_000)

    async def profile(self, params: ProfileParams) -> ProfileAnswer:
        """The volume profile of a symbol: rows, point of control and value area."""
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        span = params.start, params.end
        if params.start is not None and params.end is not None:
            _check_span(params.start, params.end)
        traded = await self._read(venue, symbol, params.hours, params.min_trades, *span)
        try:
            found = traded.counted.profile(
                bins=params.bins, tick=params.tick, value_area=params.value_area, step=params.step
            )
        except (ValueError, OverflowError) as error:
            raise Problem("bad_request", str(error)) from error
        basis = self._basis(venue, traded)
        return ProfileAnswer(venue, symbol, basis, found, *self._currency(venue, symbol, basis))

    async def vacuums(self, params: VacuumParams) -> VacuumAnswer:
        """Prices that hardly traded although their neighbours did."""
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        traded = await self._read(venue, symbol, params.hours, params.min_trades)
        live = self._services.live
        book = live.latest("OrderBook", symbol, venue)
        price = live.price(symbol, venue) or traded.last[1]
        found = find_vacuums(
            traded.counted.profile(bins=params.bins).rows,
            price,
            percentile=params.percentile,
            width=params.width,
            bids=book[0].body.bids if book else (),
            asks=book[0].body.asks if book else (),
        )
        basis = self._basis(venue, traded)
        current = self._currency(venue, symbol, basis)
        return VacuumAnswer(venue, symbol, basis, price, book is not None, found, *current)

    async def _read(
        self, venue: str, symbol: str, hours: int, min_trades: int, start: int | None = None, end: int | None = None
    ) -> _Traded:
        """The trades of `[start, end)`; without one of the two, of the hours before or after the other, and without
        both of those before the newest trade.
        """
        archive = self._services.trades
        last = await archive.last_time(venue, symbol)
        if last is None:
            raise Problem("no_data", f"no trade of {symbol} is stored yet; /api/status has the state of its feed")
        traded = _Traded(VolumeByPrice())
        is_whole = start is not None and end is not None
        if end is None:
            end = END_MS if start is None else start + hours * HOUR_MS
        if start is None:
            start = min(last + 1, end) - hours * HOUR_MS
        await archive.feed(venue, symbol, start, end, traded.take, columns=COLUMNS)
        collecting = traded.counted.collecting(min_trades)
        if collecting:
            if end <= last:  # no more trades will come
                collecting = structs.replace(collecting, wait_s=None)
            wait = "" if collecting.wait_s is None else f", so about {collecting.wait_s:g} s more"
            longer = "choose a longer span" if is_whole else "set more hours"
            raise Problem(
                "collecting",
                f"{collecting.trades:,} of {counted(min_trades, 'trade')} so far, "
                f"{collecting.trades_per_s:g} a second{wait}; or {longer}, or fewer min_trades",
                retry_after_s=math.ceil(collecting.wait_s or 0),
                collecting=collecting,
            )
        return traded

    def _currency(self, venue: str, symbol: str, basis: Basis) -> tuple[bool, str | None]:
        """Whether the trades are stale, and their state."""
        state = self._services.live.state(symbol, venue, OF_TRADES)
        return is_stale(state, basis.age_ms, self._limit_ms), state_name(state)

    def _basis(self, venue: str, traded: _Traded) -> Basis:
        counted = traded.counted
        last = counted.last_time or 0
        return Basis(
            iso_utc(counted.first_time or 0),
            iso_utc(last),
            age_ms(self._services.live.venue_states(venue), last),
            counted.trades / (traded.last_id - traded.first_id + 1),
        )


def _check_span(start: int, end: int) -> None:
    if end - start > MOST_HOURS * HOUR_MS:
        raise Problem("range_too_large", f"the trades of more than {MOST_HOURS} hours are not read for one profile")


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    volumes = Volumes(services)
    return [
        Route(
            "GET", "/api/volume-profile/{symbol}", volumes.profile, ProfileAnswer, ProfileParams,
            errors=(*ERRORS, "range_too_large"),
        ),
        Route("GET", "/api/liquidity-vacuums/{symbol}", volumes.vacuums, VacuumAnswer, VacuumParams, errors=ERRORS),
    ]  # fmt: skip
