"""The WebSocket broadcast: clients, subscriptions, fan-out policy, messages."""
