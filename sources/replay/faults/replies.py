"""Applies the faults of replies to WebSocket requests. Pure."""

import fnmatch
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from sources.replay.faults.orders import OddReply, RefuseSubscribe
from sources.replay.protocol.subscriptions import Subscriptions

_ID = "{id}"
_LONGEST_ID = 64

Text: TypeAlias = str | bytes
Answer: TypeAlias = Callable[[Subscriptions, Text], tuple[bytes, ...]]
"""Executes a client's request on its subscriptions; the replies to send."""


def answer_truly(subscriptions: Subscriptions, text: Text) -> tuple[bytes, ...]:
    """The reply without any fault."""
    return (subscriptions.on_request(text),)


def concerns(fault: RefuseSubscribe | OddReply, text: Text) -> bool:
    """Whether the fault applies to a request."""
    return isinstance(fault, OddReply) or bool(_matching(fault, _request(text)))


def most_bytes_of(fault: RefuseSubscribe | OddReply) -> int:
    """Most bytes of a reply that the fault makes: a text may be full of ids."""
    return len(fault.text or "") * _LONGEST_ID // len(_ID) + len(getattr(fault, "hex", None) or "")


def answer_wrongly(fault: RefuseSubscribe | OddReply, subscriptions: Subscriptions, text: Text) -> tuple[bytes, ...]:
    """The replies to a request to which the fault applies."""
    request = _request(text)
    if isinstance(fault, RefuseSubscribe):
        return (_refused(fault, subscriptions, request),)
    true = subscriptions.on_request(text)
    wrong = _odd(fault, request.get("id"))
    return (wrong, true) if fault.insert else (wrong,)


def _request(text: Text) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}


def _matching(fault: RefuseSubscribe, request: dict[str, Any]) -> list[str]:
    params = request.get("params")
    if request.get("method") != "SUBSCRIBE" or not isinstance(params, list):
        return []
    return [name for name in params if isinstance(name, str) and fnmatch.fnmatchcase(name, fault.stream)]


def _refused(fault: RefuseSubscribe, subscriptions: Subscriptions, request: dict[str, Any]) -> bytes:
    if fault.form == "silent":
        matching = set(_matching(fault, request))
        rest = [name for name in request["params"] if name not in matching]
        return subscriptions.on_request(msgspec.json.encode({**request, "params": rest}))
    error = {"code": fault.code, "msg": fault.text}
    request_id = {"id": request.get("id")}
    return msgspec.json.encode({"error": error, **request_id} if fault.form == "wrapped" else {**error, **request_id})


def _odd(fault: OddReply, request_id: Any) -> bytes:
    if fault.hex is not None:
        return bytes.fromhex(fault.hex)
    shown = msgspec.json.encode(request_id).decode()
    return (fault.text or "").replace(_ID, shown if len(shown) <= _LONGEST_ID else "null").encode()
