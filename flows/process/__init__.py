"""The process itself: signals, sockets, memory, and the rate of its log."""
