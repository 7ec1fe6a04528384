"""WebSocket connections: opened, watched, renewed, pooled."""
