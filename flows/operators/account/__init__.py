"""Accounts: their balances and positions, as the venue has them."""
