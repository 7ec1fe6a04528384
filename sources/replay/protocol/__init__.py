"""The WebSocket protocol of the replay exchange: subscriptions, frames."""
