"""Binance's binary market streams of spot: Simple Binary Encoding, schema `stream_1_0.xml`."""
