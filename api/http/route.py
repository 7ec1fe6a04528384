"""A route of the REST API as one value, from which handlers and the OpenAPI document are built.

A group of routes is a file with a function `routes(services) -> list[Route | RawRoute]`; `api/app.py` lists the groups.
To add a route write three things:

    class SpreadParams(Struct, frozen=True, forbid_unknown_fields=True):   # path and query, with bounds
        symbol: Symbol
        limit: Annotated[int, Meta(ge=1, le=1_000)] = 100

    class Spread(Struct, frozen=True): ...                                 # `data` of the answer

    def routes(services: Services) -> list[Route]:
        async def spread(params: SpreadParams) -> Spread: ...  # the first line of its docstring is the summary
        return [Route("GET", "/api/spread/{symbol}", spread, Spread, SpreadParams, errors=("unknown_symbol",))]

Handlers get checked values, return the result, and raise `Problem` for errors.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from api.http.errors import Problem
from flows.model import timeframe_ms
from flows.names import SYMBOL_PATTERN, TEXT_END, symbol_of
from flows.texts import refusal_of
from flows.times import time_ms_of
from sinks.hub.rights import Right
from sinks.trades.codec import END_MS

DAY_S: Final = 86_400

Symbol: TypeAlias = Annotated[
    str, Meta(pattern=SYMBOL_PATTERN, description="the venue's own name, in any case", examples=["BTCUSDT"])
]
"""Handlers get the symbol in the venue's spelling (`flows/names.py`)."""
Symbols: TypeAlias = Annotated[tuple[Symbol, ...], Meta(max_length=100)]
Venue: TypeAlias = Annotated[
    str,
    Meta(
        pattern=f"^[a-z0-9-]{{0,32}}{TEXT_END}",
        description="default: the one that has the symbol, else the first of the settings",
    ),
]
_DIVISORS: Final = [
    f"{number}{unit}"
    for unit, length_s in (("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400))
    for number in range(1, 1_000)
    if DAY_S % (number * length_s) == 0
]
Timeframe: TypeAlias = Annotated[
    str,
    Meta(
        pattern=f"^[1-9][0-9]{{0,2}}[smhd]{TEXT_END}",
        description="divides a day",
        examples=["1m"],
        extra_json_schema={"enum": _DIVISORS},
    ),
]
"""The enumeration is for the OpenAPI document alone: the text of `timeframe_ms` says more to who writes another one."""
Time: TypeAlias = Annotated[int, Meta(ge=0, le=END_MS, description="ms UTC since the epoch")]
"""Requests may also have seconds or ISO-8601 (`flows/times.py`); handlers get milliseconds."""

AnyStruct = TypeVar("AnyStruct", bound=Struct)

COMMON_ERRORS: Final = ("wrong_host", "wrong_origin", "unauthorized", "internal")
"""Error codes of every route."""
SYMBOL_ERRORS: Final = ("unknown_symbol", "ambiguous_symbol", "unknown_venue")
"""Errors of routes that find an instrument by symbol and venue."""
STORE_ERRORS: Final = ("unreadable_data", "store_unavailable")
"""Errors of routes that read the document store."""
READ_ERRORS: Final = ("bad_request", *SYMBOL_ERRORS, *STORE_ERRORS)
"""Errors of routes that read the stored data of an instrument."""
LATEST_ERRORS: Final = (*SYMBOL_ERRORS, "no_data", *STORE_ERRORS)
"""Errors of routes that have the newest data of an instrument."""


class NoParams(Struct, frozen=True, forbid_unknown_fields=True):
    """A route without parameters."""


class _Described(Struct, frozen=True, kw_only=True):
    errors: tuple[str, ...] = ()
    """Error codes besides the common ones."""
    needs: Right | None = "market"
    """The right that callers need, where a token is set; None: the route is open."""


class Route(_Described, frozen=True):
    """Responds with `{"success", "data", "error"}`; `data` is of type `result`."""

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    """Called with the params, and the body where there is one."""
    result: Any
    params: type[Struct] = NoParams
    body: type[Struct] | None = None
    accepted: type[Struct] | None = None
    """Type returned with status 202 while the result is not ready."""


class RawRoute(_Described, frozen=True):
    """Responds without the envelope."""

    method: str
    path: str
    handler: Callable[[web.Request, Any], Awaitable[web.StreamResponse]]
    media: str
    """Content type of the response."""
    params: type[Struct] = NoParams
    other_media: tuple[str, ...] = ()
    """Further content types, where a parameter selects one."""
    results: tuple[Any, ...] = ()
    """Types of which a response is one, where it is JSON of a known form."""
    ignores_unknown: bool = False
    """Whether fields of the query that it does not know are ignored, as on a page whose address carries marks of where
    its reader came from.
    """
    on_problem: Callable[[Problem], web.StreamResponse] | None = None
    """The answer to parameters that cannot be read, where the protocol has a form of its own for that."""


AnyRoute: TypeAlias = Route | RawRoute


def summary_of(route: AnyRoute) -> str:
    """The first line of the handler's docstring."""
    return (route.handler.__doc__ or "").strip().partition("\n")[0]


def status_of(route: Route, result: Any) -> HTTPStatus:
    """The status of a successful response."""
    accepted = route.accepted is not None and isinstance(result, route.accepted)
    return HTTPStatus.ACCEPTED if accepted else HTTPStatus.OK


def params_reader(kind: type[Struct], *, ignores_unknown: bool = False) -> Callable[[web.Request], Struct]:
    """A reader of path and query as a Struct; it raises `Problem`. Lists use commas or repeated names."""
    written = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    hints = {written[name]: hint for name, hint in get_type_hints(kind).items() if name in written}
    lists = {name for name, hint in hints.items() if _is_list(hint)}
    numbers = {name for name, hint in hints.items() if str not in (hint, *get_args(hint))} - lists
    times = time_names(kind)
    has_span = times >= {"start", "end"} and not getattr(kind, "MAY_BE_EMPTY", False)

    def read(request: web.Request) -> Struct:
        query = request.query
        read = [name for name in query if name in hints or not ignores_unknown]
        for name in read:
            if name not in lists and name != "token" and len(query.getall(name)) > 1:
                raise Problem("bad_request", f"the request cannot be right: {name} is there more than once")
        values: dict[str, Any] = {name: query[name] for name in read if name not in lists and name != "token"}
        for name in lists.intersection(query):
            values[name] = [part for value in query.getall(name) for part in value.split(",")]
        values.update(request.match_info)
        for name in numbers.intersection(query):
            if query[name].lower() == "null":  # the decoder takes it for a parameter that is left out
                raise Problem(
                    "bad_request", f"the request cannot be right: {name} is null; leave it out, or write a value"
                )
        try:
            values |= {name: time_ms_of(query[name]) for name in times.intersection(query)}
            params = with_symbols(msgspec.convert(values, kind, strict=False))
        except (msgspec.ValidationError, ValueError) as error:
            raise Problem("bad_request", f"the request cannot be right: {sentence_of(error, kind)}") from error
        if has_span:
            check_span(params.start, params.end)  # type: ignore[attr-defined]
        return params

    return read


def check_span(start: int | None, end: int | None) -> None:
    """`Problem` for a span that ends before it begins, or where it does."""
    if start is not None and end is not None and end <= start:
        raise Problem("bad_request", f"end={end} must be later than start={start}")


def time_names(kind: type[Struct]) -> set[str]:
    """The parameters that are times, by their name in the query."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if Time in (hints[field.name], *get_args(hints[field.name]))
    }


def sentence_of(error: Exception, kind: type[Struct]) -> str:
    """The text of an error of a decoder of `kind` or of a check: with the words that are allowed, and without the
    regular expression that did not match.
    """
    _, found, place = str(error).partition("matching regex")
    at = place.rpartition(" - at ")[2]
    return f"the text at {at} is empty or has not the form that /docs describes" if found else refusal_of(error, kind)


def with_symbols(params: AnyStruct) -> AnyStruct:
    """Params or body with symbols in the venue's spelling; `ValueError` for an invalid one."""
    symbol, symbols = getattr(params, "symbol", ""), getattr(params, "symbols", ())
    changes: dict[str, Any] = {"symbol": symbol_of(symbol)} if symbol else {}
    if symbols:
        changes["symbols"] = tuple(map(symbol_of, symbols))
    return msgspec.structs.replace(params, **changes) if changes else params


def _is_list(hint: Any) -> bool:
    return (get_origin(hint) or hint) is tuple


def check_timeframe(timeframe: str) -> int:
    """Length of a timeframe in milliseconds; `Problem` when it is invalid."""
    try:
        return timeframe_ms(timeframe)
    except ValueError as error:
        raise Problem("bad_request", str(error)) from error
