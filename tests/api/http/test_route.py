"""Path and query become checked values, or a `Problem`."""

from http import HTTPStatus
from typing import Annotated, Any

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct
from yarl import URL

from api.http.errors import Problem
from api.http.route import (
    NoParams,
    Route,
    Symbol,
    Symbols,
    Time,
    Venue,
    check_timeframe,
    params_reader,
    status_of,
    summary_of,
    with_symbols,
)
from sinks.trades.codec import END_MS


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    symbol: Symbol
    venue: Venue = ""
    symbols: Symbols = ()
    start: Time | None = None
    share: Annotated[float, Meta(gt=0)] = 1.0
    whole: bool = False


class Ready(Struct, frozen=True):
    value: int


class ToCome(Struct, frozen=True):
    id: str


read_params = params_reader(Params)


def read(query: str = "", *, kind: type[Struct] = Params, **path: str) -> Any:
    return params_reader(kind)(make_mocked_request("GET", f"/?{query}", match_info={"symbol": "BTCUSDT"} | path))


def test_path_and_query_become_values_of_their_types() -> None:
    found = read("venue=binance-usdm&start=5&share=0.25&whole=true", symbol="ethusdt")
    assert found == Params("ETHUSDT", "binance-usdm", (), 5, 0.25, whole=True)
    assert read() == Params("BTCUSDT")


@pytest.mark.parametrize("query", ["start=1&start=2", "share=1&share=x", "venue=binance&venue=binance"])
def test_a_parameter_that_is_no_list_is_written_once(query: str) -> None:
    with pytest.raises(Problem, match=query.partition("=")[0]):
        read(query)


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ("symbols=A,B", ("A", "B")),
        ("symbols=A&symbols=B", ("A", "B")),
        ("symbols=A,B&symbols=C", ("A", "B", "C")),
        ("symbols=A%2CB", ("A", "B")),
    ],
)
def test_lists_are_written_with_commas_or_by_naming_them_again(query: str, symbols: tuple[str, ...]) -> None:
    assert read(query).symbols == symbols


@given(
    st.lists(
        st.lists(st.from_regex("[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True), min_size=1, max_size=5), max_size=5
    )
)
def test_however_a_list_is_written_it_is_the_same(parts: list[list[str]]) -> None:
    url = URL("/").with_query([("symbols", ",".join(part)) for part in parts])
    request = make_mocked_request("GET", str(url), match_info={"symbol": "BTCUSDT"})
    assert read_params(request) == Params("BTCUSDT", symbols=tuple(name.upper() for part in parts for name in part))


def test_the_path_says_what_is_meant_whatever_the_query_says() -> None:
    assert read("symbol=ETHUSDT").symbol == "BTCUSDT"


def test_the_token_is_no_parameter() -> None:
    assert read("token=secret") == Params("BTCUSDT")


@pytest.mark.parametrize(
    "query",
    [
        "more=1",
        "symbols=",
        "symbols=A,,B",
        "symbols=A,B.C",
        "symbols=A,B%0A",
        "venue=binance%0A",
        "symbols=%C5%BFOLUSDT",
        f"symbols={','.join('A' * 101)}",
        f"start={END_MS + 1}",
        "start=-1",
        "start=",
        "start=null",
        "start=NULL",
        "share=null",
        "whole=null",
        "start=1.5",
        "share=0",
        "share=nan",
        "whole=perhaps",
        "venue=..%2F..%2Fetc",
    ],
)
def test_what_cannot_be_right_is_refused(query: str) -> None:
    with pytest.raises(Problem, match="the request cannot be right") as refused:
        read(query)
    assert refused.value.code == "bad_request"


@pytest.mark.parametrize("symbol", ["BTC\\USDT", "A" * 65, "", "₿", "A B", "BTC\n", "..", "<img>", "ß", "A\u202eB"])
def test_a_name_that_no_venue_has_is_refused(symbol: str) -> None:
    with pytest.raises(Problem, match="the request cannot be right") as refused:
        read(symbol=symbol)
    assert refused.value.code == "bad_request"
    assert "regex" not in str(refused.value)


@pytest.mark.parametrize(
    ("spelling", "symbol"),
    [
        ("币安人生usdt", "币安人生USDT"),
        ("btcusdt_250926", "BTCUSDT_250926"),
        ("btc-usd", "BTC-USD"),
        ("btc/usd", "BTC-USD"),
        ("a\u0308b", "ÄB"),
    ],
)
def test_a_handler_gets_the_symbol_that_a_spelling_means(spelling: str, symbol: str) -> None:
    assert read(symbol=spelling).symbol == symbol
    assert read(str(URL("/").with_query(symbols=spelling).raw_query_string)).symbols == (symbol,)


class Span(Struct, frozen=True):
    symbol: str
    start: Time = 0
    end: Time | None = None


def test_a_span_ends_after_it_begins() -> None:
    assert read("start=5&end=6", kind=Span) == Span("BTCUSDT", 5, 6)
    assert read("start=5", kind=Span) == Span("BTCUSDT", 5)
    for query in ("start=6&end=5", "start=5&end=5", "end=0"):
        with pytest.raises(Problem, match="must be later than start="):
            read(query, kind=Span)


def test_bodies_are_read_the_same_way() -> None:
    assert with_symbols(Params("币安人生usdt", symbols=("ethusdt",))) == Params("币安人生USDT", symbols=("ETHUSDT",))
    with pytest.raises(ValueError, match="is no symbol"):
        with_symbols(Params("A B"))


def test_a_route_without_parameters_takes_none() -> None:
    assert params_reader(NoParams)(make_mocked_request("GET", "/?token=secret")) == NoParams()
    with pytest.raises(Problem, match="nonsense"):
        params_reader(NoParams)(make_mocked_request("GET", "/?nonsense=1"))


async def _ready() -> Ready:
    """Returns the values.

    This is not published.
    """
    return Ready(1)


def test_the_summary_is_the_first_line() -> None:
    assert summary_of(Route("GET", "/", _ready, Ready)) == "Returns the values."


def test_what_is_to_come_has_a_status_of_its_own() -> None:
    both = Route("GET", "/", _ready, Ready, accepted=ToCome)
    assert [status_of(both, result) for result in (Ready(1), ToCome("one"))] == [HTTPStatus.OK, HTTPStatus.ACCEPTED]
    assert status_of(Route("GET", "/", _ready, Ready), Ready(1)) is HTTPStatus.OK


def test_a_timeframe_has_a_length_or_is_none() -> None:
    assert [check_timeframe(name) for name in ("1m", "4h", "1d")] == [60_000, 14_400_000, 86_400_000]
    with pytest.raises(Problem, match="7m") as refused:
        check_timeframe("7m")
    assert refused.value.code == "bad_request"
