"""Analytics of trades and candles: pure functions of frames and arrays."""
