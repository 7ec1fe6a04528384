"""Candles and documents in MongoDB."""
