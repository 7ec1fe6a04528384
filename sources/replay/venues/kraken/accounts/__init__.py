"""Accounts of Kraken: keys and nonces, tokens, the channel `balances`, positions on margin, private REST."""
