"""REST API, live view and dashboard: reads the stores and follows the hub; imports no part of the dataflow."""

from flows.process.interrupts import end_on_interrupt
from flows.process.loading import load_less
from flows.process.log_form import log_to_stderr

end_on_interrupt()
load_less()
log_to_stderr()
