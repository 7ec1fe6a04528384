"""The hubs' broadcast through one address: what the live view receives, sent on to clients by the hub's own policy."""
