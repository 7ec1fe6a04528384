"""Markets of the replay exchange: books, klines, messages and the order in which they are sent."""
