"""Kraken: WebSocket v2 and REST, market data alone."""
