"""Arrow's IPC stream in parts, so that a long response is never in memory at once.

A stream is a schema message, record batches, and an end mark; a message begins with `ff ff ff ff` and the length of its
metadata (Arrow columnar format, "Encapsulated message format"). The streams of frames with the same columns differ only
in their batches.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final, NamedTuple

from flows.modules.late import late_module

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")


END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_PREFIX_BYTES: Final = 8


class ArrowParts(NamedTuple):
    """The stream of one frame, without its end mark."""

    head: bytes
    batch: bytes


def arrow_parts(frame: pl.DataFrame) -> ArrowParts:
    """A frame as the parts of a stream."""
    out = BytesIO()
    frame.rechunk().write_ipc_stream(out)
    stream = out.getvalue()
    head_bytes = _PREFIX_BYTES + int.from_bytes(stream[4:_PREFIX_BYTES], "little")
    return ArrowParts(stream[:head_bytes], stream[head_bytes : -len(END)])
