"""The subscriptions of one client, and the requests that change them. Pure: text in, reply out.

Source: Binance's `web-socket-streams`, "Live Subscribing/Unsubscribing to streams". Error replies are wrapped in
`error`, as the exchange sends them, not flat as its page prints them. A stream that does not exist is acknowledged
like any other.
"""

import re
from collections.abc import Iterable
from typing import Any, NoReturn, TypeGuard

import msgspec

from sources.replay.protocol.conversation import Refused, decode_object

_UNKNOWN_PROPERTY, _BAD_VALUE, _BAD_REQUEST, _NO_JSON, _TOO_MANY = range(5)
_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
_INT64 = 2**63
_UNKNOWN_STREAM = "Invalid request: unknown stream"


class RequestError(Exception):
    """A refused request, with the exchange's code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Subscriptions:
    """The streams of one connection in the order of their subscription, at most `most`, and its one property."""

    def __init__(self, *, combined: bool, streams: Iterable[str], most: int) -> None:
        self._streams = dict.fromkeys(streams)
        self._most = most
        self.combined = combined
        """Whether messages come in the envelope that names their stream."""
        self._methods = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": self._list,
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": self._get_property,
        }

    @property
    def streams(self) -> tuple[str, ...]:
        """Names as the client sent them, whether they exist or not."""
        return tuple(self._streams)

    def on_request(self, text: str | bytes) -> bytes:
        """Executes a client's request; the reply to send. Never raises: a bad request gets an error reply."""
        reply: dict[str, Any] = {}
        try:
            request = _decode(text)
            reply["id"] = _id_of(request)
            reply = {"result": self._result_of(request), **reply}
        except RequestError as error:
            reply = {"error": {"code": error.code, "msg": error.message}, **reply}
        return msgspec.json.encode(reply)

    def answer(self, text: str | bytes) -> tuple[bytes, ...]:
        """The replies to a request: one."""
        return (self.on_request(text),)

    def requested(self, text: str | bytes) -> list[str]:
        """The streams that a SUBSCRIBE request names; none for any other text."""
        request = decode_object(text)
        params = request.get("params")
        if request.get("method") != "SUBSCRIBE" or not isinstance(params, list):
            return []
        return [name for name in params if isinstance(name, str)]

    def request_id(self, text: str | bytes) -> Any:
        """The id of a request as it was sent; None without one."""
        return decode_object(text).get("id")

    def refuse(self, text: str | bytes, order: Refused) -> tuple[bytes, ...]:
        """Refuses a SUBSCRIBE request, or leaves the refused streams out of it."""
        request = decode_object(text)
        if order.form == "silent":
            rest = [name for name in request["params"] if name not in order.streams]
            return (self.on_request(msgspec.json.encode({**request, "params": rest})),)
        error = {"code": order.code, "msg": order.text or _UNKNOWN_STREAM}
        wrapped = {"error": error} if order.form == "wrapped" else error
        return (msgspec.json.encode({**wrapped, "id": request.get("id")}),)

    def _result_of(self, request: dict[str, Any]) -> Any:
        method = request.get("method")
        if method is None:
            _refuse("missing field `method` at line 1 column 1")
        known = self._methods.get(method) if isinstance(method, str) else None
        if known is None:
            names = ", ".join(f"`{name}`" for name in self._methods)
            _refuse(f"unknown variant `{method}`, expected one of {names} at line 1 column 1")
        return known(request.get("params"))

    def _subscribe(self, params: Any) -> None:
        wanted = self._streams | dict.fromkeys(_names_of(params))
        if len(wanted) > self._most:
            raise RequestError(_TOO_MANY, "Too many subscriptions")
        self._streams = wanted

    def _unsubscribe(self, params: Any) -> None:
        for name in _names_of(params):
            self._streams.pop(name, None)

    def _list(self, params: Any) -> list[str]:
        if params:
            _refuse("too many parameters")
        return list(self._streams)

    def _set_property(self, params: Any) -> None:
        match _property_of(params, arguments=1):
            case [bool(value)]:
                self.combined = value
            case _:
                raise RequestError(_BAD_VALUE, "Invalid value type: expected Boolean")

    def _get_property(self, params: Any) -> bool:
        _property_of(params, arguments=0)
        return self.combined


def _refuse(reason: str) -> NoReturn:
    raise RequestError(_BAD_REQUEST, f"Invalid request: {reason}")


def _decode(text: str | bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestError(_NO_JSON, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(request, dict):
        _refuse("expected an object at line 1 column 1")
    return request


def _id_of(request: dict[str, Any]) -> int | str | None:
    request_id = request.get("id")
    if not is_request_id(request_id):
        _refuse("request ID must be an unsigned integer")
    return request_id


def is_request_id(value: Any) -> TypeGuard[int | str | None]:
    """Whether it may be the id of a request: a whole number of 64 bits, a short word, or none."""
    match value:
        case None:
            return True
        case int(number) if not isinstance(number, bool):
            return -_INT64 <= number < _INT64
        case str(word):
            return _ID.fullmatch(word) is not None
    return False


def _names_of(params: Any) -> list[str]:
    if params is None:
        _refuse("missing field `params` at line 1 column 1")
    if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
        _refuse("params must be a list of stream names")
    return params


def _property_of(params: Any, *, arguments: int) -> list[Any]:
    """What follows the property's name in `params`."""
    if not isinstance(params, list) or not params:
        _refuse("missing field `params` at line 1 column 1")
    name, *rest = params
    if not isinstance(name, str):
        _refuse("property name must be a string")
    if name != "combined":
        raise RequestError(_UNKNOWN_PROPERTY, "Unknown property")
    if len(rest) > arguments:
        _refuse("too many parameters")
    return rest
