"""Sources of data: venues, their connections, REST interfaces and archives, and the replay exchange."""

from flows.process.interrupts import end_on_interrupt
from flows.process.loading import load_less
from flows.process.log_form import log_to_stderr

end_on_interrupt()
load_less()
log_to_stderr()
