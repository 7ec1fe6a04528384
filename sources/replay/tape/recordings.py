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

from sources.replay.market.market import VENUES, MarketKind
from sources.replay.tape.whole_lines import whole_lines

TAPE_SUFFIX = ".tape.zst"
TAPE_FORMAT = "marketflow-tape"

SNAPSHOT = "snapshot"
"""Channel of a REST depth answer; no stream has this name."""

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
    lastUpdateId: int = 0  # noqa: N815  # the exchange's name


class _Header(Struct):
    format: str
    version: int
    venue: str
    symbols: list[str]
    started_ns: int


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_header = msgspec.json.Decoder(_Header).decode


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
    ends early is read as far as it goes (`whole_lines`); `ValueError` names file and line of one that cannot be read.
    """
    if ".ws." in path.name:
        answers = sorted(path.parent.glob(path.name.partition(".ws.")[0] + ".http.*"))
        files = [_capture_lines(file) for file in (path, *answers)]
        yield from heapq.merge(*files, key=lambda line: line.received_ns)
        return
    symbol = path.name.partition("_")[0].lower()
    for number, text in enumerate(whole_lines(path), start=1):
        try:
            if number == 1 and text.startswith(b"{"):
                _check_header(text, kind)
                continue
            line = _stamped_line(text, symbol)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        if line is not None:
            yield line


def _check_header(text: bytes, kind: MarketKind) -> None:
    header = _decode_header(text)
    if header.format != TAPE_FORMAT or header.version != 1:
        raise ValueError(f"is no {TAPE_FORMAT} of version 1, but {header.format!r} of version {header.version}")
    if header.venue != VENUES[kind]:
        raise ValueError(f"is a tape of {header.venue}, not of {VENUES[kind]}")


def _stamped_line(text: bytes, symbol: str) -> Line | None:
    stamp, _, body = text.partition(b" ")
    envelope = _decode_envelope(body)
    received_ns = int(stamp)
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
