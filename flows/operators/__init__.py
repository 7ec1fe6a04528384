"""The steps of the flow as plain functions and machines: no engine, no clock, no I/O."""
