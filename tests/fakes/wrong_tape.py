"""A stream whose trades are wrong for a while, beside a REST side that has the true ones."""

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec import structs

from flows.bounds import VenueRules
from flows.clock import Now
from flows.model import AggregateTrade, Rejected, Trade, TradeBatch
from flows.queries import LastTradeQuery, QueryError, TradesQuery
from tests.fakes.candles import kline_of_ones
from tests.fakes.sequencing import WatchedSequencer
from tests.fakes.trades import BEGIN

FIRST_ID, FIRST_FILL = 3_000_000, 9_000_000
EVERY_MS = 100
DELAY_MS = 60
"""From a query to its answer."""

Wrong = Callable[[AggregateTrade, int], AggregateTrade]
"""What the stream says instead of a trade, with its number since the fault began."""


def true_trade(number: int) -> AggregateTrade:
    """The trade of this number, of one to three fills."""
    fills = 2 * number + (number % 3 == 1)
    following = 2 * (number + 1) + ((number + 1) % 3 == 1)
    time = BEGIN + number * EVERY_MS
    return AggregateTrade(
        symbol="BTCUSDT", id=FIRST_ID + number, time=time, price=100.0 + number, quantity=1.0, buyer_is_maker=False,
        event_time=time, first_id=FIRST_FILL + fills, last_id=FIRST_FILL + following - 1,
    )  # fmt: skip


def shifted(by: int, *fields: str) -> Wrong:
    """Adds the same to these fields of each trade."""
    return lambda one, _: structs.replace(one, **{field: getattr(one, field) + by for field in fields})


class Said(NamedTuple):
    """What a machine gave, and the local time when."""

    local: int
    item: Any


class WrongTape:
    """Plays a trade each `EVERY_MS`, a kline each second, and answers the queries of the machine."""

    def __init__(self, *, fills_follow: bool = True, has_klines: bool = True) -> None:
        self.machine = WatchedSequencer(
            "binance:BTCUSDT",
            reorder_ms=200,
            repair_ms=30_000,
            repair_trades=50_000,
            rules=VenueRules(fills_follow=fills_follow),
        )
        self.said: list[Said] = []
        self.queries = 0
        self.failing: range = range(0)
        """Numbers of the queries that fail."""
        self._has_klines = has_klines
        self._open: list[tuple[int, Any]] = []
        self._number = 0

    def play(self, until: int, wrong: Wrong | None = None) -> None:
        """Goes on until a local time."""
        begin = self._number
        for local in range(begin * EVERY_MS, until, EVERY_MS // 5):
            now = Now(BEGIN + local, local)
            for due, query in [one for one in self._open if one[0] <= local]:
                self._open.remove((due, query))
                self._take(self.machine.on_answer(query, self._answer(query), now), local)
            if local % EVERY_MS == 0:
                true = true_trade(self._number)
                self._number += 1
                told: Trade = true if wrong is None else wrong(true, true.id - FIRST_ID - begin)
                self._take(self.machine.on_events([told], now), local)
            if self._has_klines and local % 1_000 == 500:
                newest = true_trade(self._number - 1).last_id
                kline = kline_of_ones(event_time=now.feed, last_id=newest, is_closed=False)
                self._take(self.machine.on_events([kline], now), local)
            if self.machine.due_in(now) == 0:
                self._take(self.machine.on_timer(now), local)

    def _take(self, out: list[Any], local: int) -> None:
        for item in out:
            if isinstance(item, TradesQuery | LastTradeQuery):
                self.queries += 1
                self._open.append((local + DELAY_MS, item))
            else:
                self.said.append(Said(local, item))

    def _answer(self, query: Any) -> list[AggregateTrade] | QueryError | None:
        if isinstance(query, LastTradeQuery):
            return None
        if self.queries in self.failing:
            return QueryError("no network")
        first, last = query.first_id - FIRST_ID, min(query.last_id - FIRST_ID, self._number - 1)
        return [true_trade(number) for number in range(max(first, 0), last + 1)]

    def of(self, *kinds: type) -> list[Any]:
        """What was given of these types."""
        return [item for _, item in self.said if isinstance(item, kinds)]

    def refused_at(self) -> list[int]:
        """When trades were refused."""
        return [local for local, item in self.said if isinstance(item, Rejected)]

    def stored(self) -> list[Any]:
        """What the trade store holds in the end."""
        stored: dict[int, Any] = {}
        for batch in self.of(TradeBatch):
            stored |= {one.id: one for one in batch.trades}
        return [stored[number] for number in sorted(stored)]

    def true_trades(self) -> list[Any]:
        """What it should hold."""
        return [true_trade(number) for number in range(self._number)]
