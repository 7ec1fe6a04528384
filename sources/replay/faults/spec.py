"""Base types of the faults: their JSON form, and which messages they apply to."""

import re
from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
Span = Annotated[int, Meta(ge=1)]
Hex = Annotated[str, Meta(pattern="^([0-9a-fA-F]{2})*$")]
"""Bytes as hexadecimal digits, for bytes that no JSON text can hold, as `ff` or `00`."""


def tag_of(name: str) -> str:
    """The name of a fault in JSON: `HalfOpen` is `half_open`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Fault(Struct, frozen=True, forbid_unknown_fields=True, tag_field="fault", tag=tag_of, kw_only=True):
    """Base class of faults. The docstring of each begins with what it does and ends with an example order."""


class StreamFault(Fault, frozen=True):
    """A fault of the messages whose stream matches a pattern."""

    stream: str = "*"
    """Stream name; `*` stands for any characters, as in `*@depth*`."""
    after: Annotated[int, Meta(ge=0)] = 0
    """Matching messages that pass unchanged first."""


class ContentFault(StreamFault, frozen=True):
    """A fault that sends a wrong message. Messages to which it does not apply pass unchanged and do not count."""

    count: Count = 1
    """Messages."""
    insert: bool = False
    """Send the wrong message right before the true one. Default: in its place."""


def check_one_of(fault: Fault, *names: str) -> None:
    """`ValueError` unless exactly one of these fields is set."""
    if sum(getattr(fault, name) is not None for name in names) != 1:
        raise ValueError(f"name exactly one of {', '.join(names)}")
