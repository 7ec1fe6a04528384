"""The protocol of a market, tape or synthetic, as the replay exchange needs it.

The server (`server.py`) knows connections, limits and faults; a market knows prices; this module is the interface
between them. Payloads are the exchange's JSON, ready to send; REST answers are rows in the exchange's form.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from sources.replay.market.lives import Lives

MarketKind: TypeAlias = Literal["spot", "usdm"]
VENUES: dict[MarketKind, str] = {"spot": "binance", "usdm": "binance-usdm"}
"""Which venue of Binance has a kind of market."""
Wanted: TypeAlias = Callable[[str], bool]
"""Whether any client is subscribed to a stream, by its name (`btcusdt@kline_1m`). Others need not be encoded."""
IsDue: TypeAlias = Callable[[int], bool]
"""Whether the exchange's time has reached this, ms UTC."""


class Message(NamedTuple):
    """One push of the exchange."""

    due_ms: int
    """Exchange time at which it leaves, ms UTC: the pace of the replay."""
    stream: str
    """Stream name as a client subscribes it, e.g. `btcusdt@aggTrade`."""
    data: bytes
    """The payload without the combined envelope."""
    name: bytes | None = None
    """The stream's name in the envelope in place of `stream`, as between the quotes. Only faults set it, and streams of
    some of a user's events.
    """
    frame: bytes | None = None
    """Sent in place of payload and envelope, whatever the client's encoding. Only faults set it."""
    is_binary: bool = False
    """Whether `frame` is sent as a binary frame."""
    numbers: Mapping[object, int] | None = None
    """Its number on each connection that numbers its messages."""
    is_added: bool = False
    """Whether a fault sends it beside the true messages: it has a number of its own. Only faults set it."""


PAUSE = ""
"""The stream of a message that is not delivered: its time is the one until which the market waits."""


def always_due(_: int) -> bool:
    """For a market without a clock."""
    return True


class Market(Protocol):
    """A market that is played from beginning to end. REST answers know only what has been played so far, plus
    history.
    """

    kind: MarketKind
    lives: Lives
    """When its symbols trade."""

    def play(self, wanted: Wanted, is_due: IsDue = always_due) -> Iterator[Message]:
        """The messages in the order of their `due_ms`, endless for a synthetic or looped market. Taking a message moves
        the market's own state (book, last trade, now) to just after it. A message of the stream `PAUSE` precedes a
        wanted one that is not due yet, so that REST is never ahead of the streams; and any other one, where `PAUSE`
        itself is wanted.
        """

    def move_to(self, now_ms: int) -> None:
        """Moves the times of a market that is not played yet and has the times of now, so that it begins shortly before
        `now_ms`.
        """

    @property
    def now_ms(self) -> int:
        """Exchange time of what was played last; the market's begin before that."""

    def exchange_info(self) -> list[dict[str, Any]]:
        """The `symbols` rows of exchangeInfo: those that the exchange knows now."""

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The REST snapshot of the book as played so far; None while the market has no book of that symbol."""

    def agg_trades(
        self, symbol: str, *, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """REST rows, ascending; without id and times the newest `limit`."""

    def trades(self, symbol: str, *, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """REST rows of raw trades, ascending; without id the newest `limit`."""

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        zone_ms: int = 0,
    ) -> list[list[Any]]:
        """REST rows of twelve, ascending, the running one last; empty periods flat. `zone_ms`: how far the clock of
        periods is ahead of UTC.
        """

    def ticker(self, symbol: str) -> dict[str, Any]:
        """The REST 24-hour statistics."""

    def window(self, symbol: str, open_ms: int) -> dict[str, Any]:
        """The REST statistics from a time on until now."""

    def average_price(self, symbol: str) -> dict[str, Any]:
        """The REST average price of the last minutes."""

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        """The REST best bid and ask."""
