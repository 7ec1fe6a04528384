"""What derivatives have besides trades and books: mark prices, funding, open interest, liquidations."""
