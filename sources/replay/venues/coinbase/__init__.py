"""Coinbase: the Exchange feed, the Advanced Trade feed, and REST of the Exchange, market data alone."""
