"""The bus: what the hub says, in a NATS JetStream stream that any number of interfaces read on any host.

Only `client.py` and `client_options.py` import the client library, which is installed with the extra `bus`.
"""
