"""The dataflow: processing of the data, step by step."""

from flows.process.interrupts import end_on_interrupt

end_on_interrupt()

from flows.process.loading import load_less  # noqa: E402 - what that imports takes longer than all else here

load_less()
