"""The numbers of a private stream's messages, where the venue counts them: each is the one before it plus one."""

from flows.model.account import AccountEvent


class AccountNumbers:
    """Those of one connection. Only the last one is kept."""

    def __init__(self) -> None:
        self._last: int | None = None

    def begin(self) -> None:
        """A new connection: the next number is its first."""
        self._last = None

    def take(self, number: int) -> AccountEvent | bool:
        """True for the next message, False for one that was there already; for one after which others are missing the
        event that ends the connection, since what they said is not known.
        """
        last = self._last
        if last is not None and number <= last:
            return False
        self._last = number
        if last is None or number == last + 1:
            return True
        return AccountEvent("expired", f"messages of the stream are missing: {number - last - 1} before the newest one")
