"""Trades in RocksDB. Programs of your own read them with `TradeReader`."""

from sinks.trades.reader import TradeReader

__all__ = ["TradeReader"]
