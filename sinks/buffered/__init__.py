"""Shared by the writers of both stores: a bounded buffer, the thread that empties it, reports of outages."""
