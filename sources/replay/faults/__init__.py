"""Faults of the replay exchange: what can be ordered, and what each does."""
