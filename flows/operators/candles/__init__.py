"""Candles: built from trades, closed, compared with the exchange's own, amended."""
