"""Verification of the stores, used by `flows.verify`: checks of stored trades and candles, and repairs."""
