"""Where the data goes: MongoDB, RocksDB and the broadcast hub."""
