"""The process itself: signals, sockets, memory, and how much it logs."""
