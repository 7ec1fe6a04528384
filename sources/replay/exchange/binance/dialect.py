"""The dialect of Binance, spot and USD-M: `routes.py`, `protocol/subscriptions.py`, `ws_api.py`, `rest_api.py`."""

from typing import Any, Final

import msgspec
from aiohttp import web

from flows.clock import wall_ms
from sources.replay.exchange.binance.accounts.service import BinanceAccounts
from sources.replay.exchange.binance.accounts.session import AccountSession
from sources.replay.exchange.binance.accounts.spot import SpotAccounts
from sources.replay.exchange.binance.accounts.usdm import UsdmAccounts
from sources.replay.exchange.binance.rest_api import BinanceRestApi, market_endpoints
from sources.replay.exchange.binance.routes import (
    ROUTES,
    Handshake,
    carries,
    parse_api_handshake,
    parse_handshake,
)
from sources.replay.exchange.binance.ws_api import API_PATHS, ApiConversation
from sources.replay.exchange.binance.ws_methods import market_methods
from sources.replay.exchange.dialect import AccountsView, Controls, HandshakeError
from sources.replay.exchange.limits import Limits, limits_of
from sources.replay.faults.forms import BINANCE
from sources.replay.faults.transforms import with_clock
from sources.replay.market.market import VENUES, MarketKind, Message
from sources.replay.protocol.conversation import FrameEncoding
from sources.replay.protocol.frames import Encoding, shutdown_notice
from sources.replay.protocol.sbe import SbeEncoding, market_stream
from sources.replay.protocol.subscriptions import Subscriptions

BINARY_ROUTE: Final = "sbe"
"""Where the binary streams of spot are; the exchange has them at an address of their own."""
KEY_HEADER: Final = "X-MBX-APIKEY"
"""They want a key there; here it may be any."""
_BAD_KEY, _UNAUTHORIZED = -2014, 401


class BinanceConversation(Subscriptions):
    """A client of Binance: its subscriptions, and what its address requested."""

    counts_requests = True

    def __init__(self, kind: MarketKind, handshake: Handshake, *, most: int) -> None:
        super().__init__(combined=handshake.combined, streams=handshake.streams, most=most)
        self._kind: MarketKind = kind
        self._handshake = handshake

    @property
    def encoding(self) -> FrameEncoding:
        """The encoding of its messages."""
        return Encoding(self.combined, self._handshake.microseconds)

    @property
    def delivered(self) -> frozenset[str]:
        """The streams delivered to it: those of its subscriptions that its route carries."""
        return frozenset(s for s in self.streams if carries(self._kind, self._handshake.route, s))

    def greet(self) -> tuple[bytes, ...]:
        """Nothing: Binance waits for the client."""
        return ()

    def report(self) -> dict[str, Any]:
        """Its part of the exchange's state."""
        return {"route": self._handshake.route, "combined": self.combined, "streams": self.streams}


class BinaryConversation(BinanceConversation):
    """A client of spot's binary streams. Of the other ones nothing comes, as of any that does not exist."""

    @property
    def encoding(self) -> SbeEncoding:
        """The encoding of its messages."""
        return SbeEncoding(self.combined)

    @property
    def delivered(self) -> frozenset[str]:
        """The market's streams with the content of its subscriptions."""
        return frozenset(filter(None, map(market_stream, self.streams)))


def build_accounts(kind: MarketKind, view: AccountsView) -> BinanceAccounts:
    """The accounts of a market."""
    accounts = SpotAccounts(view) if kind == "spot" else UsdmAccounts(view)
    return BinanceAccounts(view, accounts, refuses_others=kind == "spot")


class BinanceDialect:
    """Binance's WebSocket streams, WebSocket API and REST interface."""

    forms = BINANCE

    def __init__(self, kind: MarketKind) -> None:
        self._kind: MarketKind = kind
        self.venue = VENUES[kind]
        self.limits: Limits = limits_of(kind)
        self._accounts: BinanceAccounts | None = None
        bases = [f"/{route}" if route else "" for route in ROUTES[kind]]
        bases += [f"/{BINARY_ROUTE}"] if kind == "spot" else []
        streams = (
            f"{base}/{endpoint}{names}"
            for base in bases
            for endpoint in ("ws", "stream")
            for names in ("", "/{names:.*}")
        )
        self.paths = (*streams, API_PATHS[kind])

    def open(self, request: web.Request, view: AccountsView) -> BinanceConversation | ApiConversation:
        """The conversation with a client; `HandshakeError` for an address that is refused."""
        if request.path == API_PATHS[self._kind]:
            return self._open_api(request, view)
        most = view.limits.streams
        names = request.match_info.get("names", "")
        base = request.path.removesuffix(names).strip("/") if names else request.path.strip("/")
        *route, endpoint = base.split("/")
        is_binary = route == [BINARY_ROUTE]
        if is_binary and not request.headers.get(KEY_HEADER):
            raise HandshakeError(_BAD_KEY, "API-key format invalid.", status=_UNAUTHORIZED)
        known = "" if is_binary else next(one for one in ROUTES[self._kind] if one == "".join(route))
        handshake = parse_handshake(
            self._kind, route=known, endpoint=endpoint, names=names, query=request.query, most=most
        )
        kind_of_conversation = BinaryConversation if is_binary else BinanceConversation
        return kind_of_conversation(self._kind, handshake, most=most)

    def _open_api(self, request: web.Request, view: AccountsView) -> ApiConversation:
        handshake = parse_api_handshake(self._kind, request.query)
        methods = market_methods(self._kind, market_endpoints(self._kind, view))
        session = AccountSession(self._kind, self._accounts_of(view), view)
        return ApiConversation(self._kind, handshake, methods=methods, session=session, view=view, wall_s=_wall_s)

    def refuse(self, status: int, code: int, message: str) -> web.Response:
        """The answer to a connection that is refused."""
        body = msgspec.json.encode({"code": code, "msg": message})
        return web.Response(status=status, body=body, content_type="application/json")

    def rest(self, view: AccountsView) -> BinanceRestApi:
        """The REST interface of a market."""
        return BinanceRestApi(self._kind, view, self._accounts_of(view))

    def controls(self, view: AccountsView) -> Controls:
        """Accounts, what moves them, and their keys."""
        return self._accounts_of(view).operated.controls()

    def _accounts_of(self, view: AccountsView) -> BinanceAccounts:
        if self._accounts is None:
            self._accounts = build_accounts(self._kind, view)
        return self._accounts

    def with_clock(self, message: Message, by_ms: int) -> Message:
        """A message whose event time is shifted."""
        return with_clock(message, by_ms)

    def farewell(self, now_ms: int) -> Message:
        """The notice of a shutdown."""
        return shutdown_notice(now_ms)


def _wall_s() -> float:
    return wall_ms() / 1_000
