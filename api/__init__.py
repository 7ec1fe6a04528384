"""REST API, live view and dashboard: reads the stores and follows the hub; imports no part of the dataflow."""

from flows.process.interrupts import end_on_interrupt

end_on_interrupt()
