"""The exchange's public archive: daily and monthly files of its trades and klines."""
