"""Trades in RocksDB. Other programs read them with `TradeReader`."""

from sinks.trades.reader import TradeReader

__all__ = ["TradeReader"]
