"""REST requests of a venue: rate limits, retries, urgency."""
