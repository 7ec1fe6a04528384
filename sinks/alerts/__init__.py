"""Alerts on their way out: a queue on disk, and a webhook."""
