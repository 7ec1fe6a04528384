"""The dataflow: what is done with the data, and in which order."""
