"""What a venue sends beside trades and books as they are played: books by speed, klines and tickers by the clock."""
