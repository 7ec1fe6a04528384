"""What can be concluded from trades and candles: pure functions of frames and arrays."""
