"""What is known about the completeness of stored data."""
