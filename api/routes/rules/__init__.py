"""Rules that users make."""
