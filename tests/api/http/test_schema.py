"""The OpenAPI document of invented routes, and of every real one."""

from typing import Annotated, Any

import msgspec
import pytest
from aiohttp import web
from msgspec import Meta, Struct

from api.http.route import AnyRoute, NoParams, RawRoute, Route, Symbol, Symbols, Time
from api.http.schema import openapi


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    symbol: Symbol
    symbols: Symbols = ()
    start: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=9)] = 5


class Body(Struct, frozen=True):
    name: str


class Ready(Struct, frozen=True):
    value: int


class ToCome(Struct, frozen=True):
    id: str


async def handler(*_: Any) -> Any:
    """Does a thing.

    And this is not published.
    """


async def raw_handler(_: web.Request, __: NoParams) -> web.Response:
    """Shows a picture."""
    return web.Response()


def operation(route: AnyRoute) -> dict[str, Any]:
    found: dict[str, Any] = openapi({"things": [route]})["paths"][route.path][route.method.lower()]
    return found


def data_of(described: dict[str, Any], status: str) -> Any:
    return described["responses"][status]["content"]["application/json"]["schema"]["properties"]["data"]


def codes(described: dict[str, Any]) -> dict[str, str]:
    return {status: answer["description"] for status, answer in described["responses"].items() if status >= "400"}


def test_parameters_are_in_the_path_or_in_the_query_and_never_null() -> None:
    described = operation(Route("GET", "/thing/{symbol}", handler, Ready, Params))
    shown = {one["name"]: one for one in described["parameters"]}
    assert {name: (one["in"], one["required"]) for name, one in shown.items()} == {
        "symbol": ("path", True),
        "symbols": ("query", False),
        "start": ("query", False),
        "limit": ("query", False),
    }
    assert (shown["symbols"]["style"], shown["symbols"]["explode"]) == ("form", False), "with commas"
    assert [one["type"] for one in shown["start"]["schema"]["anyOf"]] == ["integer", "string"]
    assert shown["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 5}
    assert [name for name, one in shown.items() if "default" in one["schema"]] == ["limit"]
    assert (described["summary"], described["operationId"]) == ("Does a thing.", "getThingBySymbol")


def test_what_is_to_come_is_an_answer_besides_the_result_or_instead_of_it() -> None:
    both = operation(Route("POST", "/thing", handler, Ready, body=Body, accepted=ToCome))
    only = operation(Route("POST", "/thing", handler, ToCome, accepted=ToCome))
    assert (data_of(both, "200"), data_of(both, "202")) == (
        {"$ref": "#/components/schemas/Ready"},
        {"$ref": "#/components/schemas/ToCome"},
    )
    assert [status for status in only["responses"] if status < "400"] == ["202"]
    assert both["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Body"}
    assert "requestBody" not in only


def test_an_answer_in_a_form_of_its_own_names_it() -> None:
    described = operation(RawRoute("GET", "/picture", raw_handler, "image/png"))
    assert described["responses"]["200"] == {"description": "Shows a picture.", "content": {"image/png": {}}}
    described = operation(RawRoute("GET", "/picture", raw_handler, "application/json", results=(Ready, list[ToCome])))
    ready, to_come = ({"$ref": f"#/components/schemas/{name}"} for name in ("Ready", "ToCome"))
    assert described["responses"]["200"]["content"]["application/json"] == {
        "schema": {"anyOf": [ready, {"type": "array", "items": to_come}]}
    }


def test_errors_are_listed_by_status_with_all_their_codes() -> None:
    described = operation(Route("GET", "/thing", handler, Ready, Params, errors=("no_data", "unknown_symbol")))
    assert codes(described) == {
        "400": "error.code: bad_request",
        "401": "error.code: unauthorized",
        "403": "error.code: wrong_host, wrong_origin",
        "404": "error.code: no_data, unknown_symbol",
        "405": "error.code: method_not_allowed",
        "500": "error.code: internal",
    }


@pytest.mark.parametrize(
    "route", [Route("GET", "/thing", handler, Ready), RawRoute("GET", "/picture", raw_handler, "image/png")]
)
def test_a_route_without_parameters_refuses_any(route: AnyRoute) -> None:
    assert codes(operation(route))["400"] == "error.code: bad_request"


def test_a_token_may_be_needed_unless_the_route_is_open_to_all() -> None:
    assert operation(Route("GET", "/thing", handler, Ready))["security"] == [{}, {"token": []}]
    assert "security" not in operation(Route("GET", "/thing", handler, Ready, needs=None))


def test_two_methods_of_a_path_stand_beside_each_other() -> None:
    things = [Route("GET", "/thing", handler, Ready), Route("POST", "/thing", handler, ToCome)]
    description = openapi(
        {"things": things[:1], "others": things[1:]}, about={"things": "Of things."}, channels={"News": [Ready, ToCome]}
    )
    paths = description["paths"]
    assert [paths["/thing"][method]["tags"] for method in ("get", "post")] == [["things"], ["others"]]
    assert description["tags"] == [
        {"name": "things", "description": "Of things."},
        {"name": "others", "description": "others"},
    ]
    bodies = [{"$ref": f"#/components/schemas/{name}"} for name in ("Ready", "ToCome")]
    assert description["x-channels"] == {"News": {"anyOf": bodies}}
    assert {path: sorted(methods) for path, methods in paths.items()} == {"/thing": ["get", "post"]}


def test_it_is_json_in_which_every_reference_leads_somewhere() -> None:
    thing = Route("GET", "/thing/{symbol}", handler, list[Ready], Params, errors=("collecting",))
    description = openapi({"things": [thing]})
    assert msgspec.json.decode(msgspec.json.encode(description)) == description
    named = {reference.rpartition("/")[2] for reference in references(description)}
    assert {"Ready", "ErrorBody", "Collecting"} <= named <= set(description["components"]["schemas"])


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if "$ref" in part else []
        return own + [found for value in part.values() for found in references(value)]
    return [found for value in part for found in references(value)] if isinstance(part, list) else []


class Named(Struct, frozen=True):
    symbol: Symbol = ""


class Levels(Struct, frozen=True):
    bids: list[tuple[float, float]]
    rows: list[tuple[int, float, float]]


def test_programs_that_make_clients_understand_it() -> None:
    document = openapi({"things": [Route("GET", "/thing/{symbol}", handler, Levels, Named)]})
    (parameter,) = document["paths"]["/thing/{symbol}"]["get"]["parameters"]
    assert parameter["required"], "as every parameter of a path"
    assert "default" not in parameter["schema"]
    schemas = document["components"]["schemas"]
    assert set(schemas) == {"Collecting", "ErrorBody", "Levels"}, "none of parameters, which nothing refers to"
    of_levels = schemas["Levels"]["properties"]
    assert of_levels["bids"]["items"] == {
        "type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"},
    }  # fmt: skip
    assert of_levels["rows"]["items"]["items"] == {"anyOf": [{"type": "integer"}, {"type": "number"}]}
