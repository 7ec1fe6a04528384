"""Coinbase: trades of the Exchange feed, books of the Advanced Trade feed, REST of the Exchange."""
