"""What the replay exchange plays: markets, their books, klines and messages."""
