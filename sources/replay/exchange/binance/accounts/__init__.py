"""Accounts of Binance: signed requests, what they are answered, and the events of user streams."""
