"""Statistics over the last 24 hours."""
