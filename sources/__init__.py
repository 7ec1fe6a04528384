"""Where the data comes from: the venues, their connections and their REST interfaces."""

from flows.process.interrupts import end_on_interrupt

end_on_interrupt()
