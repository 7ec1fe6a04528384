"""Candles of MongoDB and trades of RocksDB in one polars query; the flow may be writing both meanwhile.

PYTHONPATH=. python docs/examples/candles_and_trades.py [BTCUSDT [data/demo]]
"""

import sys

import polars as pl

from flows.dataframes import open_frames, settings_of
from flows.settings import SettingsError, load_settings
from flows.supervision.known import UnknownDeploymentError

symbol = sys.argv[1] if len(sys.argv) > 1 else "BTCUSDT"
try:
    with open_frames(settings_of(sys.argv[2]) if sys.argv[2:] else load_settings()) as frames:
        candles = frames.candles(symbol, "1m").filter(pl.col("status").is_in(["final", "repaired"]))
        minutes = (
            frames.scan_trades(symbol)
            .group_by(pl.col("timestamp").dt.truncate("1m"))
            .agg(
                traded=pl.col("quantity").sum(),
                vwap=(pl.col("price") * pl.col("quantity")).sum() / pl.col("quantity").sum(),
            )
            .collect()
        )
except (OSError, SettingsError, UnknownDeploymentError) as error:
    sys.exit(str(error))  # what is not there, and what to do
table = candles.select("timestamp", "close", "volume", "proof").join(minutes, on="timestamp")
print(table.write_csv(), end="")
