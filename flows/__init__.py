"""The dataflow: processing of the data, step by step."""

from flows.process.interrupts import end_on_interrupt

end_on_interrupt()
