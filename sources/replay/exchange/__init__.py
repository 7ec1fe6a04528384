"""The replay exchange's server: WebSocket, REST, limits, control."""
