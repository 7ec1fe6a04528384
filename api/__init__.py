"""The REST interface, the live view and the page: reads the stores and follows the hub, and never touches the flow."""

from flows.process.interrupts import end_on_interrupt

end_on_interrupt()
