"""What the replay exchange says over REST in each dialect, read by what has nothing in common with our clients."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol

import httpx

from flows.process.proxy import trusted_by
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from tests.fakes.venue_peers import PEERS

Trade = tuple[int, int, float, float, bool]
"""Id, time in ms, price, quantity, whether the buyer was the maker."""
Minute = tuple[float, ...]
"""Open, high, low, close, volume."""


BUSY_S = 60.0
"""Longest wait for a venue that answers too many requests."""


class ServedVenue(Protocol):
    """A market of one symbol, as its venue describes it over REST."""

    def now(self) -> int:
        """The venue's time, ms UTC."""

    def newest_id(self) -> int:
        """Id of the newest trade."""

    def trades(self, first_id: int) -> list[Trade]:
        """All trades from this id on."""

    def minutes(self) -> dict[int, Minute]:
        """The last minutes that are over, by their begin, ms UTC."""

    def close(self) -> None:
        """Ends the connections."""


class _Client:
    def __init__(self, rest_url: str, symbol: str) -> None:
        self._http = httpx.Client(base_url=rest_url, timeout=60, verify=trusted_by(rest_url))
        self._symbol = symbol

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str, **parameters: Any) -> Any:
        """The answer; waits where the flow beside it, which has the same address, has used the limit up."""
        end = time.monotonic() + BUSY_S
        while (answer := self._http.get(path, params=parameters)).status_code == HTTPStatus.TOO_MANY_REQUESTS:
            if time.monotonic() > end:
                break
            time.sleep(1)
        return answer.raise_for_status().json()


class ServedBinance(_Client):
    """Binance spot."""

    prefix = "/api/v3"

    def now(self) -> int:
        return int(self._get(f"{self.prefix}/time")["serverTime"])

    def newest_id(self) -> int:
        return int(self._get(f"{self.prefix}/aggTrades", symbol=self._symbol, limit=1)[0]["a"])

    def trades(self, first_id: int) -> list[Trade]:
        found: list[Trade] = []
        while rows := self._get(f"{self.prefix}/aggTrades", symbol=self._symbol, fromId=first_id, limit=1_000):
            found += [(row["a"], row["T"], float(row["p"]), float(row["q"]), row["m"]) for row in rows]
            first_id = found[-1][0] + 1
        return found

    def minutes(self) -> dict[int, Minute]:
        rows = self._get(f"{self.prefix}/klines", symbol=self._symbol, interval="1m", limit=60)
        return {row[0]: tuple(map(float, row[1:6])) for row in rows[:-1]}


class ServedUsdm(ServedBinance):
    """Binance USD-M futures."""

    prefix = "/fapi/v1"


class ServedKraken(_Client):
    """Kraken."""

    def now(self) -> int:
        return int(self._result("Time")["unixtime"]) * 1_000

    def newest_id(self) -> int:
        rows = self._result("Trades", pair=self._symbol.replace("-", "/"))
        return max(int(row[6]) for found in rows.values() if isinstance(found, list) for row in found)

    def trades(self, first_id: int) -> list[Trade]:
        found: dict[int, Trade] = {}
        since = "0"
        while True:
            result = self._result("Trades", pair=self._symbol.replace("-", "/"), since=since, count=1_000)
            since = result.pop("last")
            [rows] = result.values()
            new = {row[6]: _of_kraken(row) for row in rows if row[6] not in found}
            found |= new
            if not new:
                return [found[number] for number in sorted(found) if number >= first_id]

    def minutes(self) -> dict[int, Minute]:
        result = self._result("OHLC", pair=self._symbol.replace("-", "/"), interval=1)
        result.pop("last")
        [rows] = result.values()
        return {row[0] * 1_000: (*map(float, row[1:5]), float(row[6])) for row in rows[-60:-1]}

    def _result(self, name: str, **parameters: Any) -> dict[str, Any]:
        answer = self._get(f"/0/public/{name}", **parameters)
        assert answer["error"] == [], answer
        result: dict[str, Any] = answer["result"]
        return result


def _of_kraken(row: Sequence[Any]) -> Trade:
    return row[6], int(row[2] * 1_000 + 1e-4), float(row[0]), float(row[1]), row[3] == "s"


class ServedCoinbase(_Client):
    """Coinbase."""

    def now(self) -> int:
        return int(self._get("/time")["epoch"] * 1_000)

    def newest_id(self) -> int:
        return int(self._get(f"/products/{self._symbol}/trades", limit=1)[0]["trade_id"])

    def trades(self, first_id: int) -> list[Trade]:
        found: list[Trade] = []
        after: dict[str, int] = {}
        while rows := self._get(f"/products/{self._symbol}/trades", limit=1_000, **after):
            found += map(_of_coinbase, rows)
            after = {"after": found[-1][0]}
            if found[-1][0] <= first_id:
                break
        return sorted(trade for trade in found if trade[0] >= first_id)

    def minutes(self) -> dict[int, Minute]:
        rows = self._get(f"/products/{self._symbol}/candles", granularity=60)
        over = self.now() - 60_000
        return {row[0] * 1_000: (row[3], row[2], row[1], row[4], row[5]) for row in rows[:60] if row[0] * 1_000 <= over}


def _of_coinbase(row: Mapping[str, Any]) -> Trade:
    time = datetime.fromisoformat(row["time"]).astimezone(UTC)
    at = int(time.timestamp()) * 1_000 + time.microsecond // 1_000
    return row["trade_id"], at, float(row["price"]), float(row["size"]), row["side"] == "buy"


SERVED: Mapping[str, Callable[[str, str], ServedVenue]] = {
    "binance": ServedBinance,
    "binance-usdm": ServedUsdm,
    "kraken": ServedKraken,
    "coinbase": ServedCoinbase,
}
"""By venue."""


@contextmanager
def served(
    venue: str, symbol: str, *, seed: int, begin_ms: int, speed: float, trades_per_s: float = 20.0
) -> Iterator[tuple[ThreadedExchange, ServedVenue]]:
    """A paused synthetic market of a venue, which waits for nothing but `resume`, and what it says of itself."""
    made = PEERS[venue].market([symbol], seed=seed, start_ms=begin_ms, trades_per_s=trades_per_s)
    with (
        exchange_in_thread(made.market, dialect=made.dialect, speed=speed, paused=True, start_now=True) as exchange,
        closing(SERVED[venue](exchange.rest_url, symbol)) as its,
    ):
        yield exchange, its
