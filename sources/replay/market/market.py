"""What the replay exchange needs of a market, be it a tape or a synthetic one.

The server (`server.py`) knows connections, limits and faults; a market knows prices. The seam between them is this
page. Payloads are the exchange's own JSON, ready to send; REST answers are plain rows in the exchange's own form.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

MarketKind: TypeAlias = Literal["spot", "usdm"]
Wanted: TypeAlias = Callable[[str], bool]
"""Whether any client is subscribed to a stream, by its name (`btcusdt@kline_1m`): what nobody wants need not be
made.
"""
IsDue: TypeAlias = Callable[[int], bool]
"""Whether the exchange's time has come to this, ms UTC."""


class Message(NamedTuple):
    """One push of the exchange."""

    due_ms: int
    """Exchange time at which it leaves, ms UTC: the pace of the replay."""
    stream: str
    """Stream name as a client subscribes it, e.g. `btcusdt@aggTrade`."""
    data: bytes
    """The payload without the combined envelope."""
    name: bytes | None = None
    """What the envelope says in place of `stream`, as it stands between the quotes. Only faults set it."""
    frame: bytes | None = None
    """What is sent in place of payload and envelope, whatever the client's form. Only faults set it."""
    is_binary: bool = False
    """Whether `frame` goes as a binary frame."""


PAUSE = ""
"""The stream of a message that nobody gets: it says until when the market waits before its state moves on."""


def always_due(_: int) -> bool:
    """For a market that waits for no clock."""
    return True


class Market(Protocol):
    """A market that is played from beginning to end. REST answers know only what has been played so far, plus
    history.
    """

    kind: MarketKind

    def play(self, wanted: Wanted, is_due: IsDue = always_due) -> Iterator[Message]:
        """The messages in the order of their `due_ms`, endless for a synthetic or looped market. Taking a message moves
        the market's own state (book, last trade, now) to just after it. Where a wanted one is not due yet, a message of
        the stream `PAUSE` comes before it, so that REST never knows what the streams have not told.
        """

    @property
    def now_ms(self) -> int:
        """Exchange time of what was played last; the market's begin before that."""

    def exchange_info(self) -> list[dict[str, Any]]:
        """The `symbols` rows of exchangeInfo."""

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The REST snapshot of the book as played so far; None while the market has no book of that symbol."""

    def agg_trades(
        self, symbol: str, *, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """REST rows, ascending; without id and times the newest `limit`."""

    def trades(self, symbol: str, *, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """REST rows of raw trades, ascending; without id the newest `limit`."""

    def klines(
        self, symbol: str, interval: str, *, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[list[Any]]:
        """REST rows of twelve, ascending, the running one last; empty periods flat."""

    def ticker(self, symbol: str) -> dict[str, Any]:
        """The REST 24-hour statistics."""

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        """The REST best bid and ask."""
