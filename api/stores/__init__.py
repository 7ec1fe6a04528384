"""Read access to the stores: candles in MongoDB, trades in RocksDB."""
