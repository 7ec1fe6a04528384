"""OpenAPI 3.1, built from the parameter and result types of the handlers."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from api.http.errors import STATUS, ErrorBody
from api.http.route import COMMON_ERRORS, AnyRoute, RawRoute, Route, summary_of, time_names
from flows.names import TEXT_END
from flows.process.version import version
from flows.times import ISO_PATTERN, SECONDS_DIGITS

_TEMPLATE: Final = "#/components/schemas/{name}"


def openapi(
    groups: Mapping[str, Iterable[AnyRoute]],
    *,
    about: Mapping[str, str] | None = None,
    channels: Mapping[str, Sequence[type]] | None = None,
) -> dict[str, Any]:
    """The OpenAPI document of groups of routes; their names are the tags, and `about` has a sentence for each.
    `channels` are those of the broadcast with the types of their messages' `data`; they stand under `x-channels`.
    """
    tags = {(route.method, route.path): name for name, group in groups.items() for route in group}
    described = [route for group in groups.values() for route in group]
    bodies = [kind for kinds in (channels or {}).values() for kind in kinds]
    types = [kind for route in described for kind in _types(route)] + [ErrorBody, *bodies]
    schemas, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    known = list(zip(types, schemas, strict=True))

    def found(kind: type) -> Any:
        return next(schema for of, schema in known if of is kind)

    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for route in described:
        operation = {"tags": [tags[route.method, route.path]], **_operation(route, known, components)}
        paths[route.path][route.method.lower()] = operation
    x_channels = {name: {"anyOf": [found(kind) for kind in kinds]} for name, kinds in (channels or {}).items()}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "marketflow",
            "version": version(),
            "description": "Market data: prices, candles, trades, books, and how good they are.",
        },
        "servers": [{"url": "/", "description": "the server of this document"}],
        "tags": [{"name": name, "description": (about or {}).get(name, name)} for name in groups],
        "paths": dict(paths),
        "x-channels": x_channels,
        "components": {
            "schemas": _used(components, paths, x_channels),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def operation_id(route: AnyRoute) -> str:
    """A name for programs, of method and path alone: `getPricesBySymbol` of `GET /api/prices/{symbol}`."""
    words = [word for part in route.path.removeprefix("/api").split("/") for word in re.split(r"[-.]", part) if word]
    named = [f"By{word.strip('{}').capitalize()}" if word.startswith("{") else word.capitalize() for word in words]
    return route.method.lower() + "".join(named)


def _types(route: AnyRoute) -> list[Any]:
    if isinstance(route, RawRoute):
        return [route.params, *route.results]
    return [kind for kind in (route.params, route.body, route.accepted, route.result) if kind is not None]


def _operation(route: AnyRoute, known: list[tuple[Any, Any]], components: Mapping[str, Any]) -> dict[str, Any]:
    def schema(kind: Any) -> Any:
        return next(found for of, found in known if of is kind or of == kind)

    parameters = _parameters(route, components[schema(route.params)["$ref"].rpartition("/")[2]])
    operation: dict[str, Any] = {
        "summary": summary_of(route),
        "operationId": operation_id(route),
        "parameters": parameters,
        "responses": _responses(route, schema),
    }
    if route.needs:
        operation["security"] = [{}, {"token": []}]
    if isinstance(route, Route) and route.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema(route.body)}}}
    return operation


def _parameters(route: AnyRoute, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    found, times = [], time_names(route.params)
    for name, schema in params.get("properties", {}).items():
        in_path = f"{{{name}}}" in route.path
        one = _without_null(schema)
        if name in times:
            one = _time(one)
        if in_path:
            one.pop("default", None)
        parameter = {
            "name": name,
            "in": "path" if in_path else "query",
            "required": in_path or name in params.get("required", ()),
            "schema": one,
        }
        if one.get("type") == "array":
            parameter |= {"style": "form", "explode": False}
        found.append(parameter)
    return found


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without null, which a query cannot express: absent parameters are left out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    found = dict(kinds[0]) if kinds else dict(schema)
    if found.get("default") in (None, (), []):
        found.pop("default", None)
    return found


def _time(number: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a time: milliseconds, seconds or ISO-8601."""
    bounds = {name: number[name] for name in ("type", "minimum", "maximum")}
    iso = {"type": "string", "pattern": f"^{ISO_PATTERN}{TEXT_END}"}
    kept = {name: value for name, value in number.items() if name not in (*bounds, "description")}
    description = f"{number['description']}; or seconds ({SECONDS_DIGITS} digits); or ISO-8601, UTC without an offset"
    return {"description": description, "anyOf": [bounds, iso], **kept}


def _responses(route: AnyRoute, schema: Any) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if isinstance(route, RawRoute):
        content: dict[str, Any] = {media: {} for media in (route.media, *route.other_media)}
        if route.results:
            content[route.media] = {"schema": {"anyOf": [schema(kind) for kind in route.results]}}
        responses["200"] = {"description": summary_of(route), "content": content}
    else:
        one_way = route.accepted is not None and route.accepted is route.result
        if not one_way:
            responses["200"] = _json("The data", _success(schema(route.result)))
        if route.accepted is not None:
            responses["202"] = _json("Requested from the flow; not ready yet", _success(schema(route.accepted)))
    codes: defaultdict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys(("bad_request", *route.errors, *COMMON_ERRORS, "method_not_allowed")):
        codes[STATUS[code]].append(code)
    for status, names in sorted(codes.items()):
        failure = {
            "type": "object",
            "properties": {
                "success": {"const": False},
                "data": {"type": "null"},
                "error": {"$ref": _TEMPLATE.format(name=ErrorBody.__name__)},
            },
            "required": ["success", "data", "error"],
        }
        responses[str(int(status))] = _json(f"error.code: {', '.join(names)}", failure)
    return responses


def _success(schema: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"success": {"const": True}, "data": schema, "error": {"type": "null"}},
        "required": ["success", "data", "error"],
    }


def _json(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _used(components: Mapping[str, Any], *roots: Any) -> dict[str, Any]:
    """The schemas that something refers to, directly or not: those of parameters stand at the operations."""
    used: dict[str, Any] = {}
    waiting = list(roots)
    while waiting:
        for name in _references(waiting.pop()):
            if name not in used:
                used[name] = components[name]
                waiting.append(components[name])
    return dict(sorted(used.items()))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from _references(value)


def _plain(value: Any) -> Any:
    """Plain JSON values: tuples become lists. Of arrays whose places have schemas of their own every item has one of
    them: programs that make clients know no other kind of array, and `minItems` and `maxItems` still bound these.
    """
    if isinstance(value, Mapping):
        plain = {name: _plain(one) for name, one in value.items()}
        if "prefixItems" in plain:
            places = plain.pop("prefixItems")
            kinds = [kind for place, kind in enumerate(places) if kind not in places[:place]]
            plain["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        return plain
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
