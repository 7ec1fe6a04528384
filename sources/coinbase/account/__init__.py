"""The account of Coinbase, read only: tokens that are signed, the private stream of orders, accounts over REST."""
