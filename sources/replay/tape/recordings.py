"""Reads recordings of several formats: every line is a message with its stream name and its time of receipt.

- `*.gz`: `<receive ns> <combined envelope>`; a REST depth snapshot is a bare line, its symbol is the file name's;
- `*.tape.zst`: the tapes of `python -m sources.record`; a header, then the same lines, REST answers with their path;
- `<NAME>.ws.<n>.<n>`: `<receive s>: <combined envelope>`; beside it `<NAME>.http.<n>.<n>`: `<url> -> <s>: <answer>`.
"""

import heapq
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import msgspec
from msgspec import Raw, Struct

from sources.frames import UNREADABLE, reason_of
from sources.replay.market.market import VENUES, MarketKind
from sources.replay.tape.left_out import LeftOut
from sources.replay.tape.whole_lines import whole_lines

TAPE_SUFFIX = ".tape.zst"
TAPE_FORMAT = "marketflow-tape"

SNAPSHOT = "snapshot"
"""Channel of a REST depth answer; no stream has this name."""

_MOST_DIGITS = 19
"""Of a time of receipt, ns."""
_CAPTURE = re.compile(r"^\d+(\.\d+)?: ")
_QUERY_SYMBOL = re.compile(r"/depth\?(?:.*&)?symbol=([^&]+)")


class Line(NamedTuple):
    """One recorded message."""

    received_ns: int
    stream: str
    """As a client subscribes it; `<symbol>@snapshot` for a REST depth answer."""
    data: bytes


class _Envelope(Struct, gc=False):
    stream: str = ""
    data: Raw = Raw()
    rest: str = ""
    frame: str = ""
    lastUpdateId: int = 0  # noqa: N815  # the exchange's name


class _Header(Struct):
    format: str
    version: int
    venue: str
    symbols: list[str]
    started_ns: int


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
decode_header = msgspec.json.Decoder(_Header).decode
"""Reads the first line of a tape."""


def is_recording(path: Path) -> bool:
    """Whether a file, by its name, holds recorded messages."""
    name = path.name
    return (".ws." in name and name.startswith("BINANCE")) or (
        name.endswith((TAPE_SUFFIX, ".gz")) and not name.endswith(".csv.gz")
    )


def is_of_market(path: Path, kind: MarketKind) -> bool:
    """Whether a recording in a folder belongs to a market, by its name."""
    return ".ws." not in path.name or ("FUTURES" in path.name) == (kind == "usdm")


def read_lines(path: Path, kind: MarketKind) -> Iterator[Line]:
    """The messages of a file in the order of the file; other REST answers than depth are left out. A file that
    ends early is read as far as it goes (`whole_lines`); `ValueError` names file and line of one that is no recording.

    A recording holds what the exchange has sent, wrong or not. What is no message, or one of a symbol that was not
    recorded, is left out, and a warning says how much that was.
    """
    if ".ws." in path.name:
        answers = sorted(path.parent.glob(path.name.partition(".ws.")[0] + ".http.*"))
        files = [_capture_lines(file) for file in (path, *answers)]
        yield from heapq.merge(*files, key=lambda line: line.received_ns)
        return
    symbol = path.name.partition("_")[0].lower()
    recorded: frozenset[str] | None = None
    left_out = LeftOut()
    for number, text in enumerate(whole_lines(path), start=1):
        if number == 1 and text.startswith(b"{"):
            try:
                recorded = _recorded(text, kind)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            continue
        stamp, _, body = text.partition(b" ")
        if not stamp.isdigit() or len(stamp) > _MOST_DIGITS:
            raise ValueError(f"{path}, line {number}: it does not begin with a time of receipt")
        try:
            line = _line(int(stamp), body, symbol)
        except UNREADABLE as error:
            left_out.add(f"line {number}: {reason_of(error)}")
            continue
        if line is None:
            continue
        if recorded is not None and not line.stream.startswith("!") and _symbol_of(line) not in recorded:
            left_out.add(f"line {number}: a message of {line.stream!r:.80}, which was not recorded")
        else:
            yield line
    left_out.report(path=str(path))


def _symbol_of(line: Line) -> str:
    return line.stream.partition("@")[0].upper()


def _recorded(text: bytes, kind: MarketKind) -> frozenset[str]:
    """The symbols of a tape, by its header."""
    header = decode_header(text)
    if header.format != TAPE_FORMAT or header.version != 1:
        raise ValueError(f"is no {TAPE_FORMAT} of version 1, but {header.format!r} of version {header.version}")
    if header.venue != VENUES[kind]:
        raise ValueError(f"is a tape of {header.venue}, not of {VENUES[kind]}")
    return frozenset(symbol.upper() for symbol in header.symbols)


def _line(received_ns: int, body: bytes, symbol: str) -> Line | None:
    envelope = _decode_envelope(body)
    if envelope.frame:
        raise ValueError("a frame that is no object")
    if envelope.stream:
        return Line(received_ns, envelope.stream, bytes(envelope.data))
    if envelope.rest:
        return _answer(received_ns, envelope.rest, bytes(envelope.data))
    return Line(received_ns, f"{symbol}@{SNAPSHOT}", body.strip()) if envelope.lastUpdateId else None


def _answer(received_ns: int, url: str, data: bytes) -> Line | None:
    symbol = _QUERY_SYMBOL.search(url)
    return Line(received_ns, f"{unquote(symbol[1]).lower()}@{SNAPSHOT}", data) if symbol else None


def _capture_lines(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            url, arrow, stamped = text.partition(" -> ")
            stamp, colon, body = (stamped if arrow else text).partition(": ")
            if arrow and colon:
                line = _answer(_nanoseconds(stamp), url, body.strip().encode())
            elif _CAPTURE.match(text):
                envelope = _decode_envelope(body)
                line = Line(_nanoseconds(stamp), envelope.stream, bytes(envelope.data)) if envelope.stream else None
            else:
                line = None
            if line is not None:
                yield line


def _nanoseconds(seconds: str) -> int:
    whole, _, fraction = seconds.partition(".")
    return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
