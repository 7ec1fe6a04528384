"""An account of the replay exchange, whatever its venue: what happens to it, and what it then has."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import httpx

from sources.replay.accounts.keys import DEMO, DEMO_KEY, DEMO_SECRET
from sources.replay.venues.coinbase.accounts import keys as coinbase
from sources.replay.venues.kraken.accounts import keys as kraken

Peer: TypeAlias = Literal["binance", "binance-usdm", "kraken", "coinbase"]
PEERS: Final[tuple[Peer, ...]] = ("binance", "binance-usdm", "kraken", "coinbase")
Held: TypeAlias = tuple[dict[str, tuple[Decimal, Decimal]], dict[tuple[str, str], Decimal]]
"""Free and locked by asset, quantities by symbol and side; nothing that is zero."""


class DemoKey(NamedTuple):
    """The key of the account that is there from the begin."""

    name: str
    secret: str


DEMO_KEYS: Final[Mapping[Peer, DemoKey]] = {
    "binance": DemoKey(DEMO_KEY, DEMO_SECRET),
    "binance-usdm": DemoKey(DEMO_KEY, DEMO_SECRET),
    "kraken": DemoKey(kraken.DEMO_KEY, kraken.DEMO_SECRET),
    "coinbase": DemoKey(coinbase.DEMO_KEY, coinbase.demo_private_key()),
}

Step: TypeAlias = dict[str, Any]


def _fill(side: str, quantity: str, price: str = "50000", **more: Any) -> Step:
    return {"do": "fill", "side": side, "quantity": quantity, "price": price, **more}


_SPOT: Final[list[Step]] = [
    {"do": "deposit", "asset": "USDT", "amount": "12.5"},
    _fill("BUY", "0.02"),
    {"do": "lock", "asset": "USDT", "amount": "7"},
    {"do": "transfer", "asset": "USDT", "amount": "-3.25", "other": "second"},
    {"do": "withdraw", "asset": "USDT", "amount": "3"},
    _fill("SELL", "0.01", "51000"),
    {"do": "lock", "asset": "USDT", "amount": "-2"},
]
_ONE_WAY: Final[list[Step]] = [
    {"do": "deposit", "asset": "USDT", "amount": "12.5"},
    _fill("BUY", "0.02"),
    {"do": "funding", "rate": "0.0001"},
    {"do": "leverage", "leverage": 7},
    _fill("SELL", "0.05", "51000"),
]
"""Ends with a short position."""
_BOTH_SIDES: Final[list[Step]] = [
    {"do": "liquidate", "price": "50500"},
    {"do": "margin_type", "isolated": True},
    {"do": "position_mode", "both_sides": True},
    _fill("BUY", "0.01", position_side="LONG"),
    _fill("SELL", "0.02", position_side="SHORT"),
    {"do": "margin", "amount": "3", "position_side": "SHORT"},
    {"do": "funding", "rate": "0.0001"},
    {"do": "leverage", "leverage": 9},
    {"do": "transfer", "asset": "USDT", "amount": "-20.5", "other": "second"},
    _fill("SELL", "0.005", "50100", position_side="LONG"),
]
"""Begins with the position that `_ONE_WAY` has left, and ends with a long and a short one, both isolated."""
_BACK: Final[list[Step]] = [
    _fill("SELL", "0.005", position_side="LONG"),
    _fill("BUY", "0.02", position_side="SHORT"),
    {"do": "position_mode", "both_sides": False},
    {"do": "margin_type", "isolated": False},
    {"do": "withdraw", "asset": "USDT", "amount": "4"},
]
_USD: Final[list[Step]] = [  # what is not announced comes before something that is
    {"do": "deposit", "asset": "EUR", "amount": "12.5"},
    {"do": "transfer", "asset": "USD", "amount": "-3.25", "other": "second"},
    _fill("BUY", "0.02"),
    {"do": "withdraw", "asset": "EUR", "amount": "2.5"},
    _fill("SELL", "0.01", "51000"),
]
_ON_MARGIN: Final = _fill("BUY", "0.1", position_side="LONG")
_COURSES: Final[Mapping[Peer, tuple[list[Step], ...]]] = {
    "binance": (_SPOT,),
    "binance-usdm": (_ONE_WAY, _BOTH_SIDES, [*_BACK, *_ONE_WAY]),
    "kraken": ([*_USD, _ON_MARGIN],),
    "coinbase": (_USD,),
}
"""What happens the first time, the second, …; all but the first again and again."""
_SYMBOLS: Final[Mapping[Peer, str]] = {peer: "BTCUSDT" if "binance" in peer else "BTC-USD" for peer in PEERS}
_OF_SYMBOL: Final = ("fill", "funding", "leverage", "liquidate", "margin", "margin_type")


class OperatedAccount:
    """An account as its operator sees it. `http` is a client of the exchange's REST address."""

    def __init__(self, peer: Peer, http: httpx.AsyncClient, name: str = DEMO) -> None:
        self.peer: Peer = peer
        self.name = name
        self._http = http
        self._courses = 0
        self.versions: list[Held] = []
        """What it had after each order, newest last."""

    @property
    def symbol(self) -> str:
        """The instrument that is traded."""
        return _SYMBOLS[self.peer]

    async def order(self, do: str, **fields: Any) -> None:
        """Something happens to it."""
        if do in _OF_SYMBOL:
            fields.setdefault("symbol", self.symbol)
        reply = await self._http.post("/control/accounts", json={"do": do, "account": self.name, **fields})
        assert reply.status_code == 200, reply.text
        self.versions.append(self._held_in(reply.json()))

    async def move(self) -> None:
        """Something of everything that the venue has, of which more can be made later."""
        if not self._courses:
            await self.order("open", account="second")
        courses = _COURSES[self.peer]
        later = courses[1:] or courses
        course = later[(self._courses - 1) % len(later)] if self._courses else courses[0]
        self._courses += 1
        for step in course:
            await self.order(**step)

    async def held(self) -> Held:
        """What it has now, in the form of `Follower.held`."""
        return self._held_in((await self._http.get("/control/accounts")).json())

    async def stream(self) -> str:
        """The name of its private stream, for faults."""
        if self.peer == "binance-usdm":
            return str(self._report_in((await self._http.get("/control/accounts")).json())["listen_key"])
        return f"{'balances' if self.peer == 'kraken' else 'user'}:{self.name}"

    def _report_in(self, state: Any) -> Any:
        (found,) = [one for one in state["accounts"] if one["account"] == self.name]
        return found

    def _held_in(self, state: Any) -> Held:
        report = self._report_in(state)
        return _balances_in(report), _positions_in(report)


def _balances_in(report: Any) -> dict[str, tuple[Decimal, Decimal]]:
    if "wallets" not in report:
        rows = {row["asset"]: (Decimal(row["free"]), Decimal(row["locked"])) for row in report["balances"]}
    else:
        free = {asset: Decimal(amount) for asset, amount in report["cross_wallets"].items()}
        rows = {asset: (free[asset], Decimal(whole) - free[asset]) for asset, whole in report["wallets"].items()}
    return {asset: amounts for asset, amounts in rows.items() if any(amounts)}


def _positions_in(report: Any) -> dict[tuple[str, str], Decimal]:
    found: dict[tuple[str, str], Decimal] = {}
    for row in report.get("positions", ()):
        amount, side = Decimal(row["amount"]), row["position_side"]
        if side == "BOTH":
            side = "LONG" if amount > 0 else "SHORT"
        where = (row["symbol"].replace("/", "-"), side)
        found[where] = found.get(where, Decimal(0)) + abs(amount)
    return {where: quantity for where, quantity in found.items() if quantity}
