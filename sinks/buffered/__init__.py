"""What the writers of both stores share: a bounded buffer, the thread that empties it, and what is said of outages."""
