"""Accounts of Kraken, read only: signed requests, the private stream of balances, open margin positions."""
