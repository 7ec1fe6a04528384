"""The rows of an export: stored candles, trades, bars, statistics and incidents of a venue, in frames of a bounded
size.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import polars as pl

from flows.model import PRIVATE_KINDS
from sinks.bars.frame import BAR_SCHEMA
from sinks.bars.rule import BarRule
from sinks.dataframes import (
    CANDLE_SCHEMA,
    INCIDENT_SCHEMA,
    STATS_SCHEMA,
    TIMESTAMP,
    TRADE_SCHEMA,
    Frames,
)
from sinks.mongo.documents import INCIDENTS, MARKET_STATS

Exported: TypeAlias = Literal["candles", "trades", "bars", "statistics", "incidents"]
DOCUMENT_ROWS: Final = 10_000
"""Documents of a frame."""
_SCHEMAS: Final[Mapping[Exported, Mapping[str, pl.DataType]]] = {
    "candles": CANDLE_SCHEMA,
    "trades": TRADE_SCHEMA,
    "bars": BAR_SCHEMA,
    "statistics": STATS_SCHEMA,
    "incidents": INCIDENT_SCHEMA,
}


class Selection(NamedTuple):
    """What is exported: rows whose time is in `[start, end)`, ms UTC. Incidents may be of all symbols, which is None;
    only candles have a timeframe, only bars a rule.
    """

    kind: Exported
    symbol: str | None
    start: int
    end: int
    timeframe: str = ""
    rule: BarRule | None = None


def empty_frame(kind: Exported) -> pl.DataFrame:
    """A frame with the columns of such rows, and none of them."""
    return pl.DataFrame(schema={**_SCHEMAS[kind], "timestamp": TIMESTAMP})


def iterate(frames: Frames, selection: Selection) -> Iterator[pl.DataFrame]:
    """The rows, oldest first; errors as of `Frames`."""
    kind, symbol, start, end, timeframe, rule = selection
    if kind == "trades":
        yield from frames.iterate_trades(symbol or "", start, end)
        return
    if rule is not None:
        yield from frames.iterate_bars(symbol or "", rule, start, end)
        return
    if kind == "candles":
        found = frames.iterate_candles(symbol or "", timeframe, start, end, rows=DOCUMENT_ROWS)
        yield from (frame for frame in found if frame.height)
        return
    of: dict[str, Any] = {"venue": frames.venue}
    if kind == "incidents":
        of |= {"kind": {"$nin": list(PRIVATE_KINDS)}} | ({} if symbol is None else {"symbol": {"$in": [symbol, ""]}})
    else:
        of |= {"symbol": symbol}
    collection = {"statistics": MARKET_STATS, "incidents": INCIDENTS}[kind]
    time = next(iter(_SCHEMAS[kind]))
    found = frames.iterate_documents(collection, of, time, start, end, _SCHEMAS[kind], rows=DOCUMENT_ROWS)
    yield from (frame for frame in found if frame.height)
