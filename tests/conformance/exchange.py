"""The replay exchange as the cases see it: its own REST, to compare a client's values with, and its control endpoint.

It runs in the client's environment, and so imports nothing but the standard library.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

SYMBOL: Final = "BTCUSDT"
OTHER: Final = "ETHUSDT"
KEY: Final = "replayDemoHmac".ljust(64, "0")
SECRET: Final = "replayDemoSecret".ljust(64, "0")
"""The key of the exchange's account that is there from the begin."""
QUERY_S: Final = 20.0
"""Longest that the exchange may take for an answer."""
_PREFIX: Final = {"spot": "/api/v3", "usdm": "/fapi/v1"}


class Exchange:
    """A replay exchange of a market, spot or USD-M, at an address."""

    def __init__(self, market: str, address: str) -> None:
        self.market = market
        self.address = address
        """Host and port."""
        self.http = f"http://{address}"
        self.ws = f"ws://{address}"
        self.api = _PREFIX[market]
        """What the paths of its market data begin with."""

    def get(self, path: str, **params: Any) -> Any:
        """Its answer to a query; a path without a prefix is one of the market data."""
        whole = path if path.startswith("/") else f"{self.api}/{path}"
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        return self._query(urllib.request.Request(f"{self.http}{whole}{query}", headers={"X-MBX-APIKEY": KEY}))

    def pause(self) -> None:
        """Stops the market and its time."""
        self._control("pause")

    def resume(self) -> None:
        """Lets them go on."""
        self._control("resume")

    def fault(self, **order: Any) -> None:
        """Orders a fault."""
        body = json.dumps(order).encode()
        self._query(urllib.request.Request(f"{self.http}/control/faults", data=body, method="POST"))

    def account(self, **order: Any) -> None:
        """Orders a change of the account of `KEY`."""
        body = json.dumps(order).encode()
        self._query(urllib.request.Request(f"{self.http}/control/accounts", data=body, method="POST"))

    def balances(self) -> dict[str, list[str]]:
        """What is free and what is locked of each asset of that account."""
        (account,) = self.get("/control/accounts")["accounts"]
        return {row["asset"]: [row["free"], row["locked"]] for row in account["balances"]}

    def trade(self, trade_id: int) -> dict[str, Any]:
        """A single trade; the newest are queried first, for a query by id weighs much on USD-M."""
        newest = {row["id"]: row for row in self.get("trades", symbol=SYMBOL, limit=1000)}
        found: dict[str, Any] = (
            newest.get(trade_id) or self.get("historicalTrades", symbol=SYMBOL, fromId=trade_id, limit=1)[0]
        )
        return found

    def aggregate(self, aggregate_id: int) -> dict[str, Any]:
        """An aggregate of trades."""
        found: dict[str, Any] = self.get("aggTrades", symbol=SYMBOL, fromId=aggregate_id, limit=1)[0]
        return found

    def kline(self, open_ms: int, interval: str = "1m") -> list[Any]:
        """The kline that opens at a time."""
        found: list[Any] = self.get("klines", symbol=SYMBOL, interval=interval, startTime=open_ms, limit=1)[0]
        return found

    def _control(self, order: str) -> None:
        self._query(urllib.request.Request(f"{self.http}/control/{order}", data=b"", method="POST"))

    def _query(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=QUERY_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"the exchange refused {request.full_url}: {error.read()[:200]!r}") from error
        return json.loads(text) if text else None


@contextmanager
def paused(exchange: Exchange) -> Iterator[None]:
    """Stops the market and its time for the length of the block."""
    exchange.pause()
    try:
        yield
    finally:
        exchange.resume()


def until(look: Callable[[], T | None], within_s: float = 40.0) -> T:
    """What `look` returns as soon as that is something true; `TimeoutError` when it stays nothing."""
    end = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"nothing within {within_s:.0f} s")
        time.sleep(0.05)
