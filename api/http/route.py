"""A route of the interface: everything about it in one value, from which server and documentation are made.

A group of routes is a file with a function `routes(services) -> list[Route | RawRoute]`; `api/app.py` lists the groups.
To add a route write three things:

    class SpreadParams(Struct, frozen=True, forbid_unknown_fields=True):   # path and query, with bounds
        symbol: Symbol
        limit: Annotated[int, Meta(ge=1, le=1_000)] = 100

    class Spread(Struct, frozen=True): ...                                 # `data` of the answer

    def routes(services: Services) -> list[Route]:
        async def spread(params: SpreadParams) -> Spread: ...  # the first line of its docstring is the summary
        return [Route("GET", "/api/spread/{symbol}", spread, Spread, SpreadParams, errors=("unknown_symbol",))]

Handlers get values that were checked, return the result, and raise `Problem` for anything else.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_origin, get_type_hints

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from api.http.errors import Problem
from flows.model import timeframe_ms
from flows.names import SYMBOL_PATTERN, TEXT_END, symbol_of
from sinks.trades.codec import END_MS

Symbol: TypeAlias = Annotated[
    str, Meta(pattern=SYMBOL_PATTERN, description="the venue's own name, in any case", examples=["BTCUSDT"])
]
"""Reaches a handler as the symbol that it means (`flows/names.py`)."""
Symbols: TypeAlias = Annotated[tuple[Symbol, ...], Meta(max_length=100)]
Venue: TypeAlias = Annotated[
    str, Meta(pattern=f"^[a-z0-9-]{{0,32}}{TEXT_END}", description="default: that of the setting feed.venue")
]
Timeframe: TypeAlias = Annotated[str, Meta(pattern=f"^[1-9][0-9]{{0,2}}[smhd]{TEXT_END}", examples=["1m"])]
Time: TypeAlias = Annotated[int, Meta(ge=0, le=END_MS, description="ms UTC since the epoch")]

AnyStruct = TypeVar("AnyStruct", bound=Struct)

COMMON_ERRORS: Final = ("wrong_host", "wrong_origin", "unauthorized", "internal")
"""Codes that any route may answer with."""


class NoParams(Struct, frozen=True, forbid_unknown_fields=True):
    """A route without parameters."""


class _Described(Struct, frozen=True, kw_only=True):
    errors: tuple[str, ...] = ()
    """Codes it may answer with, besides the common ones."""
    protected: bool = True
    """Whether it needs the token, where one is set."""


class Route(_Described, frozen=True):
    """Answers with `{"success", "data", "error"}`; `data` is the `result`."""

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    """Takes the params, and the body where there is one."""
    result: Any
    params: type[Struct] = NoParams
    body: type[Struct] | None = None
    accepted: type[Struct] | None = None
    """What it returns, with status 202, when the result is to come."""


class RawRoute(_Described, frozen=True):
    """Answers in a form of its own."""

    method: str
    path: str
    handler: Callable[[web.Request, Any], Awaitable[web.StreamResponse]]
    media: str
    """Content type of its answer."""
    params: type[Struct] = NoParams


AnyRoute: TypeAlias = Route | RawRoute


def summary_of(route: AnyRoute) -> str:
    """What the route does, in a line."""
    return (route.handler.__doc__ or "").strip().partition("\n")[0]


def status_of(route: Route, result: Any) -> HTTPStatus:
    """The status of an answer that succeeded."""
    accepted = route.accepted is not None and isinstance(result, route.accepted)
    return HTTPStatus.ACCEPTED if accepted else HTTPStatus.OK


def params_reader(kind: type[Struct]) -> Callable[[web.Request], Struct]:
    """Reads path and query as a Struct. Lists are written with commas, or by naming them again."""
    lists = {name for name, hint in get_type_hints(kind).items() if _is_list(hint)}

    def read(request: web.Request) -> Struct:
        query = request.query
        values: dict[str, Any] = {name: query[name] for name in query if name not in lists and name != "token"}
        for name in lists & set(query):
            values[name] = [part for value in query.getall(name) for part in value.split(",")]
        values.update(request.match_info)
        try:
            return with_symbols(msgspec.convert(values, kind, strict=False))
        except (msgspec.ValidationError, ValueError) as error:
            raise Problem("bad_request", f"the request cannot be right: {sentence_of(error)}") from error

    return read


def sentence_of(error: Exception) -> str:
    """What a decoder or a check said, without the regular expression that a name did not match."""
    text, found, place = str(error).partition("matching regex")
    at = place.rpartition(" - at ")[2]
    return f"the text at {at} is empty or has not the form that /docs describes" if found else text


def with_symbols(params: AnyStruct) -> AnyStruct:
    """Params or body with every spelling of a symbol replaced by the symbol; `ValueError` for what can be none."""
    symbol, symbols = getattr(params, "symbol", ""), getattr(params, "symbols", ())
    changes: dict[str, Any] = {"symbol": symbol_of(symbol)} if symbol else {}
    if symbols:
        changes["symbols"] = tuple(map(symbol_of, symbols))
    return msgspec.structs.replace(params, **changes) if changes else params


def _is_list(hint: Any) -> bool:
    return (get_origin(hint) or hint) is tuple


def check_timeframe(timeframe: str) -> int:
    """Length of a timeframe in milliseconds; `Problem` when it is none."""
    try:
        return timeframe_ms(timeframe)
    except ValueError as error:
        raise Problem("bad_request", str(error)) from error
