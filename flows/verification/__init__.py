"""Whether the stores hold what they claim: pure checks of stored trades and candles, used by `flows.verify`."""
