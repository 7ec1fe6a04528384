"""Candles of MongoDB and trades of RocksDB in one polars query; the flow may be writing both meanwhile.

PYTHONPATH=. python docs/examples/candles_and_trades.py [BTCUSDT]
"""

import sys

import polars as pl

from flows.dataframes import open_frames
from flows.settings import load_settings

symbol = sys.argv[1] if len(sys.argv) > 1 else "BTCUSDT"
with open_frames(load_settings()) as frames:
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
table = candles.select("timestamp", "close", "volume", "proof").join(minutes, on="timestamp")
print(table.write_csv(), end="")
