"""Services beside the dataflow in its process: queries, commands, subscriptions, metrics."""
