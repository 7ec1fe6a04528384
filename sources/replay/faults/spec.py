"""Base types of the faults: their JSON form, and which messages they apply to."""

import re
from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
Span = Annotated[int, Meta(ge=1)]
HexDigits = Annotated[str, Meta(pattern="^([0-9a-fA-F]{2})*$")]
"""Bytes as hexadecimal digits, for bytes that no JSON text can hold, as `ff` or `00`."""
Hex = Annotated[HexDigits, Meta(max_length=131_072)]
"""The same, as many as are sent at once."""
Text = Annotated[str, Meta(max_length=65_536)]
"""A text that is sent as it is."""
Pattern = Annotated[str, Meta(max_length=200)]
"""A stream name, a path of REST, or a pattern of one."""
FieldPath = Annotated[str, Meta(max_length=100)]
"""The path of a field, see `json_fields.py`."""
FieldPaths = Annotated[tuple[FieldPath, ...], Meta(min_length=1, max_length=30)]
Offset = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What is added to a whole number."""


def tag_of(name: str) -> str:
    """The name of a fault in JSON: `HalfOpen` is `half_open`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Fault(Struct, frozen=True, forbid_unknown_fields=True, tag_field="fault", tag=tag_of, kw_only=True):
    """Base class of faults. The docstring of each begins with what it does and ends with an example order."""


class StreamFault(Fault, frozen=True):
    """A fault of the messages whose stream matches a pattern."""

    stream: Pattern = "*"
    """Stream name; `*` stands for any characters, as in `*@depth*`."""
    after: Annotated[int, Meta(ge=0)] = 0
    """Matching messages that pass unchanged first."""


class ContentFault(StreamFault, frozen=True):
    """A fault that sends a wrong message. Messages to which it does not apply pass unchanged and do not count."""

    count: Count = 1
    """Messages."""
    insert: bool = False
    """Send the wrong message right before the true one. Default: in its place."""

    @property
    def keeps_true(self) -> bool:
        """Whether the true message is sent after the wrong ones."""
        return self.insert


def check_one_of(fault: Fault, *names: str) -> None:
    """`ValueError` unless exactly one of these fields is set."""
    if sum(getattr(fault, name) is not None for name in names) != 1:
        raise ValueError(f"name exactly one of {', '.join(names)}")
