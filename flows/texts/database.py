"""What an error of MongoDB's driver says to people."""

from typing import Final

_DUMPS: Final = (" (configured timeouts", ", Timeout:", ", Topology Description:", ", full error:")
"""Where the driver's texts go on with what it was set to, the whole topology, and the server's whole answer."""


def database_reason(error: BaseException) -> str:
    """The text of an error, in one line and without dumps."""
    text = str(error)
    for dump in _DUMPS:
        text = text.partition(dump)[0]
    return " ".join(text.split())
