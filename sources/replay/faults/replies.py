"""Applies the faults of replies to WebSocket requests. Pure."""

import fnmatch
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from sources.replay.faults.orders import OddReply, RefuseSubscribe
from sources.replay.protocol.conversation import Refused, Requests

_ID = "{id}"
_LONGEST_ID = 64

Text: TypeAlias = str | bytes
Answer: TypeAlias = Callable[[Requests, Text], tuple[bytes, ...]]
"""Executes a request of a client; the replies to send."""


def answer_truly(client: Requests, text: Text) -> tuple[bytes, ...]:
    """The replies without any fault."""
    return client.answer(text)


def concerns(fault: RefuseSubscribe | OddReply, client: Requests, text: Text) -> bool:
    """Whether the fault applies to a request."""
    return isinstance(fault, OddReply) or bool(_matching(fault, client, text))


def most_bytes_of(fault: RefuseSubscribe | OddReply) -> int:
    """Most bytes of a reply that the fault makes: a text may be full of ids."""
    return len(fault.text or "") * _LONGEST_ID // len(_ID) + len(getattr(fault, "hex", None) or "")


def answer_wrongly(fault: RefuseSubscribe | OddReply, client: Requests, text: Text) -> tuple[bytes, ...]:
    """The replies to a request to which the fault applies."""
    if isinstance(fault, RefuseSubscribe):
        order = Refused(_matching(fault, client, text), fault.form, fault.code, fault.text)
        return client.refuse(text, order)
    true = client.answer(text)
    wrong = _odd(fault, client.request_id(text))
    return (wrong, *true) if fault.insert else (wrong,)


def _matching(fault: RefuseSubscribe, client: Requests, text: Text) -> frozenset[str]:
    return frozenset(name for name in client.requested(text) if fnmatch.fnmatchcase(name, fault.stream))


def _odd(fault: OddReply, request_id: Any) -> bytes:
    if fault.hex is not None:
        return bytes.fromhex(fault.hex)
    shown = msgspec.json.encode(request_id).decode()
    return (fault.text or "").replace(_ID, shown if len(shown) <= _LONGEST_ID else "null").encode()
