"""Kafka: trades, closed candles and incidents, and raw frames as they come, in topics that any program reads.

Only `producer.py` and `frames.py` import the client library, which is installed with the extra `kafka`, and only
`producer.py` the engine, for its connector.
"""
