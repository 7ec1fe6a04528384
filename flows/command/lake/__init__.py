"""`marketflow lake`."""
