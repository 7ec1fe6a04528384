"""Accounts of the replay exchange: keys, balances, positions. Pure: orders and times in, changes out."""
