"""Accounts of Binance, which are only read: spot by its WebSocket API, USD-M by a listen key."""
