"""The frames of a tape (`sources.record`), to be put into a topic."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from sources.replay.tape.recordings import TAPE_FORMAT
from sources.replay.tape.taped_frames import frame_in
from sources.replay.tape.whole_lines import whole_lines

_VERSION = 1


class TapeHeader(Struct):
    """The first line of a tape."""

    format: str
    version: int
    venue: str
    symbols: tuple[str, ...]


class TapedFrame(NamedTuple):
    """A frame, and when it was received, ns since the epoch."""

    received_ns: int
    payload: bytes


def header_of(path: Path) -> TapeHeader:
    """Whose tape it is. `ValueError` for anything else, `OSError` when it cannot be read."""
    try:
        header = msgspec.json.decode(next(whole_lines(path), b""), type=TapeHeader)
    except msgspec.MsgspecError:
        raise ValueError(f"{path} is no tape: its first line is no header of {TAPE_FORMAT}") from None
    if (header.format, header.version) != (TAPE_FORMAT, _VERSION):
        raise ValueError(f"{path} is no {TAPE_FORMAT} of version {_VERSION}")
    return header


def frames_of(path: Path) -> Iterator[TapedFrame]:
    """The frames of a tape in its order. `ValueError` names file and line of one that is no frame."""
    for number, line in enumerate(whole_lines(path), start=1):
        if number == 1:
            continue
        stamp, _, payload = line.rstrip(b"\n").partition(b" ")
        if not stamp.isdigit() or not payload:
            raise ValueError(f"{path}, line {number}: it is no time of receipt and a frame")
        frame = frame_in(payload)
        if frame is not None:
            yield TapedFrame(int(stamp), frame)
