"""Recorded depth frames ▶ parse ▶ book: one symbol, no engine, no sockets; the best 20 levels ten times a second."""

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from flows.clock import Now
from flows.model import BookSnapshot, BookView, RawFrames
from flows.operators.books.keeper import BookKeeper, BookPolicy
from flows.queries import BookQuery
from sources.binance.envelope import BookEnvelope
from sources.binance.parse import BinanceParser
from sources.binance.rules import RULES
from tests.benchmarks.rows import Row, interleaved
from tests.fakes.recordings import DATA

ROUNDS = 7
FRAMES = 1_500
"""About as many as the price of the recording stays within its snapshot."""
DEPTH = 1_000
AFTER = 10
"""Frames until the snapshot is answered."""


def recorded(path: Path) -> tuple[list[bytes], BookSnapshot]:
    """The first depth frames of a recording, and its REST snapshot."""
    frames: list[bytes] = []
    with gzip.open(path) as lines:
        for line in lines:
            payload = line.rstrip().partition(b" ")[2]
            if payload.startswith(b'{"lastUpdateId"'):
                body = json.loads(payload)
            elif b"@depth" in payload[:40]:
                frames.append(payload)
    bids, asks = ([(float(price), float(quantity)) for price, quantity in body[side]] for side in ("bids", "asks"))
    return frames[:FRAMES], BookSnapshot("BTCUSDT", body["lastUpdateId"], bids, asks)


def decode_only(frames: list[bytes]) -> None:
    """The bare typed decoding of the same frames, one by one."""
    decode = msgspec.json.Decoder(BookEnvelope, strict=False).decode
    for frame in frames:
        decode(frame)


def keep_book(frames: list[bytes], snapshot: BookSnapshot, *, venue: str, poll: int, frame_ms: int) -> None:
    """Parse and book; the frames come every `frame_ms`, so many at a time."""
    policy = BookPolicy(depth=DEPTH)
    parser, keeper = BinanceParser(venue), BookKeeper(f"{venue}:BTCUSDT", policy=policy, rules=RULES[venue])
    query = BookQuery("BTCUSDT", DEPTH)
    last: Any = None
    for begin in range(0, len(frames), poll):
        now = Now(0, begin * frame_ms)
        events: Any  # of one type
        for _, events in parser.parse(RawFrames("public", frames[begin : begin + poll], 0)).events:
            last = _view_among(keeper.on_events(events, now)) or last
        if begin <= AFTER < begin + poll:
            last = _view_among(keeper.on_answer(query, snapshot, now)) or last
    if not last.synced:
        raise RuntimeError("the book of the benchmark is not in sync")


def _view_among(out: list[Any]) -> BookView | None:
    return next((item for item in out if type(item) is BookView), None)


def run() -> list[Row]:
    """The books of both markets against bare decoding; nothing where the recordings are missing."""
    rows: list[Row] = []
    if not DATA.exists():
        return rows
    for venue, name, frame_ms in (("binance", "spot", 100), ("binance-usdm", "usdm", 50)):
        frames, snapshot = recorded(DATA / f"binance-{name}-2024-08-08" / "btcusdt_20240808.gz")
        keep = partial(keep_book, frames, snapshot, venue=venue, frame_ms=frame_ms)
        bare, single, usual = interleaved(
            ROUNDS, partial(decode_only, frames), partial(keep, poll=1), partial(keep, poll=50)
        )
        per_frame = 1e6 / len(frames)
        baseline = f"bare decoding, {bare * per_frame:.2f} µs"
        rows += [
            Row(f"{name} book, 50 frames a poll", f"{usual * per_frame:.2f} µs a frame", baseline, bare / usual, 0.4),
            Row(f"{name} book, single frames", f"{single * per_frame:.2f} µs a frame", baseline, bare / single, 0.25),
        ]
    return rows
