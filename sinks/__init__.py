"""Where the data goes: MongoDB, RocksDB and the broadcast hub."""

from flows.process.interrupts import end_on_interrupt

end_on_interrupt()
