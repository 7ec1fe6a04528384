"""Coinbase's dialect and its synthetic market."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from aiohttp import web

from sources.replay.exchange.dialect import AccountsView, Controls
from sources.replay.exchange.limits import Limits
from sources.replay.market.lives import Life
from sources.replay.market.market import Message
from sources.replay.market.playback import Playback
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.venues.coinbase.accounts.conversation import UserConversation
from sources.replay.venues.coinbase.accounts.rest import CoinbasePrivate
from sources.replay.venues.coinbase.accounts.service import CoinbaseAccounts
from sources.replay.venues.coinbase.conversation import CoinbaseConversation, Feed
from sources.replay.venues.coinbase.derived import CoinbaseDerived
from sources.replay.venues.coinbase.forms import FORMS
from sources.replay.venues.coinbase.products import product_of, profile_of_product
from sources.replay.venues.coinbase.rest import CoinbaseRest
from sources.replay.venues.served import Served
from sources.replay.venues.tapes import RecordedBook, RecordedTrade, load_venue_tapes, milliseconds
from sources.replay.venues.times import shifted

LIMITS = Limits(ping_every_s=30, pong_within_s=60, incoming_per_s=100, weight_per_minute=600)
REQUESTS_PER_S = 10
"""REST requests a second."""
USER_PATH = "/user"
"""Where the Advanced feed has accounts; the exchange has them at an address of their own."""
_FEEDS: dict[str, Feed | None] = {"/": None, "/exchange": "exchange", "/advanced": "advanced", USER_PATH: "advanced"}
_CLOCKS = (
    re.compile(rb'^(\{"type":"heartbeat".*"time":")([^"]+)'),
    re.compile(rb'^(\{"channel":"\w+","timestamp":")([^"]+)'),
)
"""The times of heartbeats and envelopes; those of trades and books are the matching engine's."""


class CoinbaseDialect:
    """The Exchange feed at `/exchange`, the Advanced feed at `/advanced`, either at `/`; accounts of the Advanced feed
    at `USER_PATH`; REST of both.
    """

    venue = "coinbase"
    limits = LIMITS
    paths = tuple(_FEEDS)
    forms = FORMS

    def __init__(self, market: Playback, derived: CoinbaseDerived, *, requests_per_s: int = REQUESTS_PER_S) -> None:
        self._market = market
        self._derived = derived
        self._requests_per_s = requests_per_s
        self._accounts: CoinbaseAccounts | None = None

    def open(self, request: web.Request, view: AccountsView) -> CoinbaseConversation:
        """The conversation with a client."""
        if request.path == USER_PATH:
            return UserConversation(view, self._derived, self._accounts_of(view))
        return CoinbaseConversation(view, self._derived, _FEEDS[request.path])

    def refuse(self, status: int, code: int, message: str) -> web.Response:
        """The answer to a connection that is refused."""
        del code
        body = msgspec.json.encode({"message": message})
        return web.Response(status=status, body=body, content_type="application/json")

    def rest(self, view: AccountsView) -> CoinbaseRest:
        """The REST interface."""
        private = CoinbasePrivate(view, self._accounts_of(view))
        return CoinbaseRest(view, self._market, private=private, requests_per_s=self._requests_per_s)

    def controls(self, view: AccountsView) -> Controls:
        """Accounts, what moves them, and their keys."""
        return self._accounts_of(view).operated.controls()

    def _accounts_of(self, view: AccountsView) -> CoinbaseAccounts:
        if self._accounts is None:
            self._accounts = CoinbaseAccounts(view)
        return self._accounts

    def with_clock(self, message: Message, by_ms: int) -> Message:
        """A message whose heartbeat or envelope has another time."""
        data = message.data
        for pattern in _CLOCKS:
            data = pattern.sub(lambda found: found[1] + shifted(found[2].decode(), by_ms).encode(), data)
        return message._replace(data=data)

    def farewell(self, now_ms: int) -> None:
        """None: Coinbase closes without a notice."""


def serve_coinbase(market: Playback, *, requests_per_s: int = REQUESTS_PER_S) -> Served:
    """A market that was made with `CoinbaseDerived`, with its dialect."""
    if not isinstance(market.derived, CoinbaseDerived):
        raise TypeError("the market does not send the messages of Coinbase")
    return Served(market, CoinbaseDialect(market, market.derived, requests_per_s=requests_per_s))


def synthetic_coinbase(
    symbols: Sequence[str],
    *,
    seed: int,
    start_ms: int,
    trades_per_s: float = 20.0,
    requests_per_s: int = REQUESTS_PER_S,
    lives: Mapping[str, Life] | None = None,
) -> Served:
    """A synthetic market of Coinbase; see `SyntheticMarket`. `ValueError` for a symbol that is no product."""
    market = SyntheticMarket(
        "spot",
        [product_of(symbol).id for symbol in symbols],
        seed=seed,
        start_ms=start_ms,
        trades_per_s=trades_per_s,
        profile=profile_of_product,
        derive=CoinbaseDerived,
        lives={product_of(symbol).id: life for symbol, life in (lives or {}).items()},
    )
    return serve_coinbase(market, requests_per_s=requests_per_s)


def taped_coinbase(
    paths: Sequence[Path], *, times: Literal["original", "now"] = "original", loop: bool = False
) -> Served:
    """The market of tapes of Coinbase; errors as of `load_tapes`."""
    market = load_venue_tapes(paths, venue="coinbase", read=_recorded, derive=CoinbaseDerived, times=times, loop=loop)
    return serve_coinbase(market)


def _recorded(frame: dict[str, Any]) -> Iterator[RecordedTrade | RecordedBook]:
    """The trades and books of a frame of either feed."""
    match frame:
        case {"type": "match" | "last_match"}:
            yield _recorded_trade(frame)
        case {"type": "snapshot", "product_id": product, "bids": bids, "asks": asks, "time": at}:
            yield RecordedBook(product, milliseconds(at), True, _levels(bids), _levels(asks))
        case {"type": "l2update", "product_id": product, "changes": changes, "time": at}:
            bids, asks = ([row[1:] for row in changes if row[0] == side] for side in ("buy", "sell"))
            yield RecordedBook(product, milliseconds(at), False, _levels(bids), _levels(asks))
        case {"channel": "market_trades", "events": list(events)}:
            for event in events:
                yield from map(_recorded_trade, event["trades"])
        case {"channel": "l2_data", "events": list(events)}:
            for event in events:
                yield _recorded_event(event, milliseconds(frame["timestamp"]))


def _recorded_trade(row: dict[str, Any]) -> RecordedTrade:
    maker = row["side"].lower() == "buy"
    at = milliseconds(row["time"])
    return RecordedTrade(row["product_id"], int(row["trade_id"]), at, row["price"], row["size"], maker)


def _recorded_event(event: dict[str, Any], time_ms: int) -> RecordedBook:
    bids, asks = (
        [(row["price_level"], row["new_quantity"]) for row in event["updates"] if row["side"] == side]
        for side in ("bid", "offer")
    )
    return RecordedBook(event["product_id"], time_ms, event["type"] == "snapshot", bids, asks)


def _levels(rows: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [(price, quantity) for price, quantity in rows]
