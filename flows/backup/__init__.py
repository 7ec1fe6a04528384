"""Copies of both stores, and stores from copies."""
