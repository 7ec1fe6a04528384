"""How long a machine waits before it repeats a query: without chance, so that equal input gives equal output."""

_MOST_DOUBLINGS = 16


def doubled_ms(first_ms: int, failures: int, *, longest_ms: int) -> int:
    """Milliseconds after so many failures in a row: none without one, then doubling from `first_ms` to `longest_ms`."""
    return min(first_ms << min(failures - 1, _MOST_DOUBLINGS), longest_ms) if failures else 0
