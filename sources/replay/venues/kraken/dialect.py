"""Kraken's dialect and its synthetic market."""

import itertools
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
from sources.replay.venues.kraken.accounts.conversation import PrivateConversation
from sources.replay.venues.kraken.accounts.rest import KrakenPrivate
from sources.replay.venues.kraken.accounts.service import KrakenAccounts
from sources.replay.venues.kraken.conversation import KrakenConversation
from sources.replay.venues.kraken.derived import KrakenDerived
from sources.replay.venues.kraken.forms import FORMS
from sources.replay.venues.kraken.pairs import pair_of, profile_of_pair
from sources.replay.venues.kraken.rest import KrakenRest
from sources.replay.venues.served import Served
from sources.replay.venues.tapes import RecordedBook, RecordedTrade, load_venue_tapes, milliseconds
from sources.replay.venues.times import shifted

LIMITS = Limits(ping_every_s=30, pong_within_s=60, incoming_per_s=100, weight_per_minute=60, connections_per_5min=150)
REQUESTS_PER_S = 1.0
"""REST requests a second, on average over ten seconds."""
PRIVATE_PATH = "/auth/v2"
"""Where private streams are; the exchange has them at an address of their own."""
_FIRST_CONNECTION = 4_421_894_013_101_914_413
"""Connection ids are beyond 2**53."""
_CLOCK = re.compile(rb'(?<="timestamp":")([^"]+)(?=","data":)')
"""The time of an envelope; those of trades, candles and books are the matching engine's."""


class KrakenDialect:
    """Kraken's WebSocket v2, at `/v2` and for accounts at `PRIVATE_PATH`, and REST with its limit."""

    venue = "kraken"
    limits = LIMITS
    paths = ("/v2", "/", PRIVATE_PATH)
    forms = FORMS

    def __init__(self, market: Playback, derived: KrakenDerived, *, requests_per_s: float = REQUESTS_PER_S) -> None:
        self._market = market
        self._derived = derived
        self._requests_per_s = requests_per_s
        self._numbers = itertools.count(_FIRST_CONNECTION)
        self._accounts: KrakenAccounts | None = None

    def open(self, request: web.Request, view: AccountsView) -> KrakenConversation | PrivateConversation:
        """The conversation with a client."""
        if request.path == PRIVATE_PATH:
            return PrivateConversation(view, self._accounts_of(view), next(self._numbers))
        return KrakenConversation(view, self._derived, next(self._numbers))

    def refuse(self, status: int, code: int, message: str) -> web.Response:
        """The answer to a connection that is refused."""
        del code
        body = msgspec.json.encode({"error": [f"EGeneral:{message}"]})
        return web.Response(status=status, body=body, content_type="application/json")

    def rest(self, view: AccountsView) -> KrakenRest:
        """The REST interface."""
        private = KrakenPrivate(view, self._accounts_of(view))
        return KrakenRest(view, self._market, private=private, requests_per_s=self._requests_per_s)

    def controls(self, view: AccountsView) -> Controls:
        """Accounts, what moves them, and their keys."""
        return self._accounts_of(view).operated.controls()

    def _accounts_of(self, view: AccountsView) -> KrakenAccounts:
        if self._accounts is None:
            self._accounts = KrakenAccounts(view)
        return self._accounts

    def with_clock(self, message: Message, by_ms: int) -> Message:
        """A message whose envelope's time is shifted."""
        data = _CLOCK.sub(lambda found: shifted(found[1].decode(), by_ms).encode(), message.data)
        return message._replace(data=data)

    def farewell(self, now_ms: int) -> None:
        """None: Kraken closes without a notice."""


def serve_kraken(market: Playback, *, requests_per_s: float = REQUESTS_PER_S) -> Served:
    """A market that was made with `KrakenDerived`, with its dialect."""
    if not isinstance(market.derived, KrakenDerived):
        raise TypeError("the market does not send the messages of Kraken")
    return Served(market, KrakenDialect(market, market.derived, requests_per_s=requests_per_s))


def synthetic_kraken(
    symbols: Sequence[str],
    *,
    seed: int,
    start_ms: int,
    trades_per_s: float = 20.0,
    requests_per_s: float = REQUESTS_PER_S,
    lives: Mapping[str, Life] | None = None,
) -> Served:
    """A synthetic market of Kraken; see `SyntheticMarket`. `ValueError` for a symbol that is no pair."""
    market = SyntheticMarket(
        "spot",
        [pair_of(symbol).symbol for symbol in symbols],
        seed=seed,
        start_ms=start_ms,
        trades_per_s=trades_per_s,
        profile=profile_of_pair,
        derive=KrakenDerived,
        lives={pair_of(symbol).symbol: life for symbol, life in (lives or {}).items()},
    )
    return serve_kraken(market, requests_per_s=requests_per_s)


def taped_kraken(
    paths: Sequence[Path], *, times: Literal["original", "now"] = "original", loop: bool = False
) -> Served:
    """The market of tapes of Kraken; errors as of `load_tapes`."""
    market = load_venue_tapes(paths, venue="kraken", read=_recorded, derive=KrakenDerived, times=times, loop=loop)
    return serve_kraken(market)


def _recorded(frame: dict[str, Any]) -> Iterator[RecordedTrade | RecordedBook]:
    """The trades and books of a frame."""
    match frame:
        case {"channel": "trade", "data": list(rows)}:
            for row in rows:
                at = milliseconds(row["timestamp"])
                maker = row["side"] == "sell"
                yield RecordedTrade(row["symbol"], row["trade_id"], at, str(row["price"]), str(row["qty"]), maker)
        case {"channel": "book", "type": kind, "data": [row]}:
            bids, asks = ([(str(one["price"]), str(one["qty"])) for one in row[side]] for side in ("bids", "asks"))
            depth = max(len(bids), len(asks))
            yield RecordedBook(row["symbol"], milliseconds(row["timestamp"]), kind == "snapshot", bids, asks, depth)
