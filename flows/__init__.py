"""The dataflow: what is done with the data, and in which order."""

from flows.process.interrupts import end_on_interrupt

end_on_interrupt()
