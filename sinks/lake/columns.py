"""The columns of the files of a lake."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from sinks.dataframes import CANDLE_SCHEMA, INCIDENT_SCHEMA, TRADE_SCHEMA
from sinks.lake.series import INCIDENTS, TRADES, LakeSeries
from sinks.trades.codec import FILLS

FILL: Final = pl.Enum(FILLS)
TRADE_COLUMNS: Final[Mapping[str, pl.DataType]] = {**TRADE_SCHEMA, "fill": FILL}
"""Those of stored trades, and the kind of each fill: a file has all of them."""
INCIDENT_COLUMNS: Final = {name: kind for name, kind in INCIDENT_SCHEMA.items() if name != "symbol"}
"""The symbol is that of the folder."""


def empty_of(series: LakeSeries) -> pl.DataFrame:
    """A frame with the columns of a series, and no rows."""
    special = {TRADES: TRADE_COLUMNS, INCIDENTS: INCIDENT_COLUMNS}
    return pl.DataFrame(schema=special.get(series.kind, CANDLE_SCHEMA))
