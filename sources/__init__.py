"""Sources of data: venues, their connections, REST interfaces and archives, and the replay exchange."""

from flows.process.interrupts import end_on_interrupt

end_on_interrupt()
