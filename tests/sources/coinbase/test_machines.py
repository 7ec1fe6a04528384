"""Recorded messages of Coinbase through the flow's own machines: candles, holes that a heartbeat shows, lost frames."""

import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeAlias

import pytest

from flows.clock import FeedClock, Now
from flows.model import Candle, Flush, Incident, RawFrames, Trade, TradeBatch, TradeWitness
from flows.operators.parse import Parse
from flows.operators.trades.batching import MicroBatcher
from flows.operators.trades.witness import STRAGGLER_MS
from flows.operators.validate import Validate
from flows.queries import Query, TradesQuery
from flows.settings import Feed
from flows.steps import sequence_candles
from sources.coinbase.parse import CoinbaseParser
from sources.coinbase.rules import RULES
from tests.fakes.coinbase import exchange_frames, exchange_messages

LENGTHS = {"1s": 1_000, "5s": 5_000, "1m": 60_000}
Figures: TypeAlias = tuple[Any, ...]


class Machines:
    """The steps from frames to candles of every instrument."""

    def __init__(self, *, can_query: bool = False) -> None:
        self._feed = Feed(
            venue="coinbase", symbols=("BTC-USD", "ETH-USD"), timeframes=tuple(LENGTHS), streams=("trade",)
        )
        self._clock = FeedClock()
        self._parse = Parse("coinbase", CoinbaseParser("coinbase"))
        self._validate = Validate("coinbase", self._clock, RULES)
        self._batch = MicroBatcher(self._clock, hold_ms=0, monotonic_ms=lambda: 0)
        self._can_query = can_query
        self.pipelines: dict[str, Any] = {}
        self.local = 0

    def take(self, *frames: bytes) -> list[Any]:
        """What comes of frames that arrive together."""
        out: list[Any] = []
        polled: list[Any] = [RawFrames("market", list(frames), 0), Flush()]
        for key, events in self._batch(self._validate(self._parse(polled))):
            if key not in self.pipelines:
                self.pipelines[key] = sequence_candles(
                    key, None, feed=self._feed, can_query=self._can_query, rules=RULES
                )
            out += self.pipelines[key].on_events(events, self.now)
        return out

    def timers(self) -> list[Any]:
        return [item for machine in self.pipelines.values() for item in machine.on_timer(self.now)]

    @property
    def now(self) -> Now:
        return Now(self._clock.now().feed, self.local)


def closed(out: Iterable[Any]) -> dict[tuple[str, str, int], Figures]:
    """The newest version of each closed candle."""
    return {
        (candle.symbol, candle.timeframe, candle.open_time): (*candle.prices, *candle.figures[5:], candle.status)
        for candle in out
        if isinstance(candle, Candle) and candle.is_closed
    }


def plain_candles(symbol: str, timeframe: str) -> dict[int, Figures]:
    """Candles of the recorded trades by plain sums of their texts: of each period from the first trade on, until the
    one of the last heartbeat.
    """
    length, begin, end = LENGTHS[timeframe], 0, 0
    periods: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for message in exchange_messages():
        if message.get("product_id") != symbol:
            continue
        hours, minutes, seconds = message["time"][11:-1].split(":")
        time = int(hours) * 3_600_000 + int(minutes) * 60_000 + int(Decimal(seconds) * 1_000)
        if message["type"] == "heartbeat":
            end = time
            continue
        begin = begin or time - time % length
        periods[time - time % length].append(message)
    found, close = {}, Decimal(0)
    day = 1_783_382_400_000
    for open_time in range(begin, end - end % length, length):
        rows = sorted(periods[open_time], key=lambda row: int(row["trade_id"]))
        prices = [Decimal(row["price"]) for row in rows] or [close]
        sizes = [Decimal(row["size"]) for row in rows]
        values = [Decimal(row["size"]) * Decimal(row["price"]) for row in rows]
        bought = [n for n, row in enumerate(rows) if row["side"] == "sell"]
        close = prices[-1]
        sums = sum(sizes), sum(values), sum(sizes[n] for n in bought), sum(values[n] for n in bought)
        volume, value, bought_volume, bought_value = (float(round(Decimal(one), 8)) for one in sums)
        ids = (int(rows[0]["trade_id"]), int(rows[-1]["trade_id"])) if rows else (-1, -1)
        figures = float(prices[0]), float(max(prices)), float(min(prices)), float(close)
        found[day + open_time] = (*figures, volume, value, len(rows), bought_volume, bought_value, *ids, "final")
    return found


@pytest.mark.parametrize("together", [1, 7, 100])
def test_candles_equal_plain_sums_and_close_with_the_heartbeat(together: int) -> None:
    machines, frames = Machines(), exchange_frames()
    out: list[Any] = []
    for start in range(0, len(frames), together):
        out += machines.take(*frames[start : start + together])
    found = closed(out)
    compared = 0
    for symbol in ("BTC-USD", "ETH-USD"):
        for timeframe in ("1s", "5s"):
            wanted = plain_candles(symbol, timeframe)
            ours = {at: candle for (of, name, at), candle in found.items() if (of, name) == (symbol, timeframe)}
            last = max(ours)
            for open_time, figures in wanted.items():
                if open_time > last or open_time == min(wanted):  # the first one has its begin before the recording
                    continue
                compared += 1
                assert ours[open_time][:4] == figures[:4]
                assert ours[open_time][4:9] == pytest.approx(figures[4:9], abs=2e-8)
                assert ours[open_time][9:] == figures[9:]
    assert compared > 120
    batches = [item for item in out if isinstance(item, TradeBatch)]
    assert {symbol: len(run) for symbol, run in trades_in(batches).items()} == {"BTC-USD": 345, "ETH-USD": 92}
    begins = {key: min(trade.time for trade in run) for key, run in trades_in(batches).items()}
    for incident in (item for item in out if isinstance(item, Incident)):
        assert incident.kind == "partial", "only what was under way at the begin lacks trades"
        assert incident.begin <= begins[incident.symbol] <= incident.end


def trades_in(batches: Iterable[TradeBatch]) -> dict[str, list[Trade]]:
    found: defaultdict[str, list[Trade]] = defaultdict(list)
    for batch in batches:
        found[batch.symbol] += batch.trades
    return found


def message(kind: str, number: int, second: float, **more: Any) -> bytes:
    time = f"2026-01-01T00:00:{second:09.6f}Z"
    name = "last_trade_id" if kind == "heartbeat" else "trade_id"
    body = {"type": kind, name: number, "product_id": "BTC-USD", "time": time} | more
    return json.dumps(body, separators=(",", ":")).encode()


def match(number: int, second: float) -> bytes:
    return message("match", number, second, side="buy", size="1", price="100")


def queries(out: Iterable[Any]) -> list[Query]:
    return [item for item in out if isinstance(item, TradesQuery)]


def begun() -> Machines:
    machines = Machines(can_query=True)
    out = machines.take(match(10, 1.0))  # a first message waits until another one confirms the time
    out += machines.take(message("heartbeat", 10, 1.5))
    for query in [item for item in out if isinstance(item, Query)]:
        machines.pipelines["coinbase:BTC-USD"].on_answer(query, None, machines.now)
    machines.take(message("heartbeat", 10, 1.9))  # earlier trades may have come until then
    machines.timers()
    return machines


def test_a_trade_that_a_heartbeat_names_and_that_does_not_come_is_fetched_although_no_later_one_comes() -> None:
    machines = begun()
    machines.take(message("heartbeat", 12, 2))
    machines.local += 1_000
    machines.take(message("heartbeat", 12, 3))
    assert queries(machines.timers()) == []
    machines.local += STRAGGLER_MS - 1_000
    [query] = queries(machines.timers())
    assert isinstance(query, TradesQuery)
    assert (query.first_id, query.last_id) == (11, 12)
    fetched = [Trade("BTC-USD", n, 1_767_225_601_500, 100.0, 1.0, True, 1_767_225_601_500) for n in (11, 12)]
    out = machines.pipelines["coinbase:BTC-USD"].on_answer(query, fetched, machines.now)
    assert [trade.id for item in out if isinstance(item, TradeBatch) for trade in item.trades] == [11, 12]


def test_heartbeats_that_agree_cause_no_query() -> None:
    machines = begun()
    for second in range(2, 50):
        machines.local += 1_000
        assert queries([*machines.take(message("heartbeat", 10, second)), *machines.timers()]) == []


def test_a_heartbeat_closes_a_period_that_ends_with_the_newest_trade_and_no_other() -> None:
    machines = Machines()
    machines.take(match(9, 0.5))
    machines.take(match(10, 1.2))
    assert closed(machines.take(message("heartbeat", 11, 2))) == {}, "a trade is still to come"
    machines.take(match(11, 1.9))
    found = closed(machines.take(message("heartbeat", 11, 3)))
    assert [(name, at % 60_000, figures[-1]) for (_, name, at), figures in found.items()] == [("1s", 1_000, "final")]
    assert not [item for item in machines.timers() if isinstance(item, TradeWitness)]
