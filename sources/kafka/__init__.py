"""Raw frames in topics of Kafka: read in place of connections, and copied as they come.

Only `topic.py` and `bridge.py` import the client library, which is installed with the extra `kafka`, and only
`bridge.py` the engine, for its connector.
"""
