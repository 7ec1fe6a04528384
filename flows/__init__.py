"""The dataflow: processing of the data, step by step."""

from flows.process.interrupts import end_on_interrupt
from flows.process.loading import load_less

end_on_interrupt()
load_less()
