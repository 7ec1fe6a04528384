"""Order books, from the live view; those that are not current are marked `stale`."""

from typing import Annotated

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import LATEST_ERRORS, AnyRoute, Route, Symbol, Venue
from api.live.freshness import OF_BOOK, is_stale, state_name
from api.services import Services


class BookParams(Struct, frozen=True, forbid_unknown_fields=True):
    """An instrument, and the number of levels a side."""

    symbol: Symbol
    venue: Venue = ""
    depth: Annotated[int, Meta(ge=1, le=5_000)] = 20


class Book(Struct, frozen=True):
    """The best levels, best first, each `[price, quantity]`; `timestamp` is null where the venue sends none. Unless
    `synced`, the book may differ from the exchange's, and has no levels.
    """

    venue: str
    symbol: str
    synced: bool
    update_id: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    spread: float | None
    mid: float | None
    imbalance: float | None
    timestamp: int | None
    age_ms: int
    stale: bool
    state: str | None
    """`live`, `quiet`, `silent`, `unsynced`, …; null where the flow publishes no states."""
    clock: str | None
    """`unsure` while the venue's time, and so the age, is carried on by a local clock; else `sure`. Null as `state`."""


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    limit_ms = int(services.settings.api.book_age_s * 1_000)

    async def order_book(params: BookParams) -> Book:
        """The order book of a symbol."""
        instrument = await services.instruments.find(params.symbol, params.venue)
        found = services.live.latest("OrderBook", instrument.symbol, instrument.venue)
        if found is None:
            raise Problem("no_data", f"the book of {instrument.symbol} is not known yet")
        message, age_ms = found
        body, depth = message.body, params.depth
        state = services.live.state(instrument.symbol, instrument.venue, OF_BOOK)
        return Book(
            message.venue,
            body.symbol,
            body.synced,
            body.update_id,
            body.bids[:depth],
            body.asks[:depth],
            body.spread,
            body.mid,
            body.imbalance,
            body.timestamp,
            age_ms,
            is_stale(state, age_ms, limit_ms),
            state_name(state),
            services.live.clock(instrument.symbol, instrument.venue),
        )

    return [Route("GET", "/api/orderbook/{symbol}", order_book, Book, BookParams, errors=LATEST_ERRORS)]
