"""Accounts of Coinbase: keys and signed tokens, the channel `user`, REST of Advanced Trade."""
