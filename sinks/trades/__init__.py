"""Trades in RocksDB."""
