"""What a venue's protocol is to the server: its paths, its conversations, its REST interface."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from aiohttp import web

from sources.replay.exchange.limits import Limits, Refusal
from sources.replay.faults.forms import Forms
from sources.replay.market.market import Market, Message
from sources.replay.protocol.conversation import Conversation


class HandshakeError(Exception):
    """An address, or a connection, that is refused: HTTP status, the exchange's code and text."""

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Reply(NamedTuple):
    """An answer of REST; a `body` that is a text is an HTML page."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


Controls: TypeAlias = Mapping[tuple[str, str], Callable[[bytes], Any]]
"""Requests of the control endpoint by method and name: a body in, JSON out; `ValueError` for a bad one."""
BODY: Final = web.RequestKey("body", bytes)
"""Where a request of REST holds its body, as bytes; nothing there: it has none."""


class View(Protocol):
    """What REST needs of the exchange."""

    @property
    def market(self) -> Market:
        """The source of the rows."""

    @property
    def now_ms(self) -> int:
        """The exchange's time, ms UTC."""

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The book as clients see it; None while there is none."""


class ExchangeView(View, Protocol):
    """What a dialect needs of the exchange."""

    @property
    def limits(self) -> Limits:
        """The limits for clients."""

    def charge(self, weight: int, now_s: float) -> Refusal | None:
        """Charges the weight of a request; None when it may be answered."""

    def used_weight(self, now_s: float) -> int:
        """Weight used in this minute."""

    def refusal(self, path: str) -> Refusal | None:
        """The error that a fault orders for a request for `path`."""


class AccountsView(ExchangeView, Protocol):
    """What accounts need of the exchange besides."""

    @property
    def true_ms(self) -> int:
        """The exchange's time without the fault of a wrong clock, ms UTC."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Sends messages that are not the market's to the subscribers of their streams."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work beside the market, at most until the exchange is closed."""


class RestApi(Protocol):
    """A venue's REST interface."""

    def reply(self, request: web.Request, now_s: float) -> Reply:
        """The answer to a request at `now_s` (s since the epoch)."""

    def refused(self, refusal: Refusal, now_s: float) -> Reply:
        """The answer to a request that is refused."""

    def headers(self, now_s: float) -> Mapping[str, str]:
        """The headers of every answer."""


class Dialect(Protocol):
    """A venue's protocol."""

    @property
    def venue(self) -> str:
        """The venue's name, as in `feed.venue`."""

    @property
    def limits(self) -> Limits:
        """Its limits as it publishes them."""

    @property
    def paths(self) -> Sequence[str]:
        """The paths of WebSocket connections, as aiohttp reads them."""

    @property
    def forms(self) -> Forms:
        """How it writes what faults change."""

    def open(self, request: web.Request, view: AccountsView) -> Conversation:
        """The conversation with a client that connects; `HandshakeError` for an address that is refused."""

    def refuse(self, status: int, code: int, message: str) -> web.Response:
        """The answer to a connection that is refused."""

    def rest(self, view: AccountsView) -> RestApi:
        """The REST interface of a market."""

    def controls(self, view: AccountsView) -> Controls:
        """What its control endpoint has besides that of every venue."""

    def with_clock(self, message: Message, by_ms: int) -> Message:
        """A message whose times of the exchange's clock are shifted."""

    def farewell(self, now_ms: int) -> Message | None:
        """The notice of a shutdown, where the venue has one."""


def symbol_names(market: Market) -> tuple[str, ...]:
    """Every symbol of a market, in its own order."""
    return tuple(row["symbol"] for row in market.exchange_info())
