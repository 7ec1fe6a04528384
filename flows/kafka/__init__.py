"""Kafka, as sources and sinks have it in common: the client's configuration, and the form of raw frames in a topic.

Nothing here imports the client library, which is installed with the extra `kafka`.
"""
