"""Bars of stored trades: by time, by number of trades, by volume, by value."""
