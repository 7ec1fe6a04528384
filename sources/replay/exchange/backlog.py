"""How much is buffered for clients that read slowly, for each and for all together."""


class Backlog:
    """Bytes in the write buffers of all clients. Beyond `most` for one, or `most_in_all`, a client is to be cut."""

    def __init__(self, *, most: int, most_in_all: int) -> None:
        self._most = most
        self._most_in_all = most_in_all
        self._of: dict[int, int] = {}
        self._total = 0
        self.refused = 0
        """How often a write did not fit."""

    @property
    def total(self) -> int:
        """Bytes buffered for all clients, as of their last notes."""
        return self._total

    def note(self, client: int, buffered: int) -> None:
        """So many bytes are buffered for a client now."""
        self._total += buffered - self._of.get(client, 0)
        self._of[client] = buffered

    def admits(self, client: int, buffered: int, more: int) -> bool:
        """Whether `more` bytes may be written to a client with `buffered` bytes in its buffer."""
        self.note(client, buffered)
        fits = buffered + more <= self._most and self._total + more <= self._most_in_all
        self.refused += not fits
        return fits

    def forget(self, client: int) -> None:
        """A client has gone."""
        self._total -= self._of.pop(client, 0)
