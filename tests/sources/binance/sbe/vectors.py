"""Messages of Binance's SBE streams, as bytes that were computed from the schema alone, and their meaning."""

import struct
from typing import Any

from flows.model import BookDelta, BookTicker, Trade

TRADES = bytes.fromhex(
    "120010270100000040222246484706007820224648470600fef819000200000001f2052a0100000079848900000000004078"
    "7d01000000000102f2052a010000007a84890000000000a086010000000000000742544355534454"
)
BEST = bytes.fromhex(
    "3200112701000000402222464847060001c28eed11000000fef8798489000000000080d1f008000000007a84890000000000"
    "002d3101000000000742544355534454"
)
DEPTH = bytes.fromhex(
    "1a00132701000000402222464847060001c28eed1100000005c28eed11000000fef810000200798489000000000080d1f008"
    "000000004c848900000000000000000000000000100001007a84890000000000002d3101000000000742544355534454"
)
MS = 1_767_225_600_123
US = MS * 1_000
SYMBOL = b"\x07BTCUSDT"

MEANINGS: list[tuple[bytes, str, list[Any]]] = [
    (
        TRADES,
        "btcusdt@trade",
        [
            Trade("BTCUSDT", 5_000_000_001, MS, 90123.45, 0.25, True, MS),
            Trade("BTCUSDT", 5_000_000_002, MS, 90123.46, 0.001, False, MS),
        ],
    ),
    (BEST, "btcusdt@bestBidAsk", [BookTicker("BTCUSDT", 77_000_000_001, 90123.45, 1.5, 90123.46, 0.2, MS)]),
    (
        DEPTH,
        "btcusdt@depth",
        [
            BookDelta(
                "BTCUSDT", MS, 77_000_000_001, 77_000_000_005, [(90123.45, 1.5), (90123.0, 0.0)], [(90123.46, 0.2)]
            )
        ],
    ),
]
"""Frame, stream, events."""


def trades_frame(
    *rows: tuple[int, int, int, int], exponents: tuple[int, int] = (-2, -8), times: tuple[int, int] = (US, US),
    symbol: bytes = SYMBOL, header: tuple[int, int, int, int] = (18, 10_000, 1, 0), size: int = 25,
) -> bytes:  # fmt: skip
    """A message of trades, built from the schema's page."""
    entries = b"".join(struct.pack("<qqqB", *row) + bytes(size - 25) for row in rows)
    return (
        struct.pack("<4H2q2b", *header, *times, *exponents)
        + bytes(header[0] - 18)
        + struct.pack("<HI", size, len(rows))
        + entries
        + symbol
    )
