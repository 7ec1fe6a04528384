"""Recorded messages of Coinbase, read in place; the test skips where they are missing."""

import gzip
import json
from functools import cache
from typing import Any

import zstandard

from tests.fakes.recordings import recording

_EXCHANGE = "coinbase-exchange-2026-07-07"
_MARKET = frozenset(("match", "last_match", "heartbeat"))


def documented(message: type) -> bytes:
    """The payload in the docstring of a wire type."""
    text = message.__doc__ or ""
    body = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return json.dumps(body, separators=(",", ":")).encode()


@cache
def exchange_frames() -> tuple[bytes, ...]:
    """A minute of the Exchange feed, BTC-USD and ETH-USD, without its books, which are of another channel than ours."""
    with gzip.open(recording(_EXCHANGE) / "live-btc-eth.ndjson.gz") as lines:
        frames = [line.strip() for line in lines if line.strip()]
    return tuple(frame for frame in frames if json.loads(frame)["type"] in (*_MARKET, "subscriptions"))


def exchange_messages() -> list[dict[str, Any]]:
    """The same, as plain JSON."""
    return [json.loads(frame) for frame in exchange_frames()]


@cache
def advanced_frames() -> tuple[bytes, ...]:
    """Half a minute of the Advanced feed, every message of a connection."""
    packed = recording("captures-jsonl") / "COINBASE.jsonl.zst"
    with zstandard.open(packed, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return tuple(row["data"].encode() for row in rows if row["t"] == "recv")


def book_frames() -> list[bytes]:
    """Those of its books."""
    return [frame for frame in advanced_frames() if frame.startswith(b'{"channel":"l2_data"')]


@cache
def rest_book() -> bytes:
    """A whole book of REST."""
    with gzip.open(recording(_EXCHANGE) / "rest-book-btc.json.gz") as body:
        return body.read()
