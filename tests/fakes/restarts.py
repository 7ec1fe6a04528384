"""The machines of one instrument in a process that ends at any moment and is begun again from the state that was kept
last: with trades and klines, a REST side that takes its time, and a store of candles. Without an engine.

Time goes in steps. What was stored before the end stays, what was known beyond the last kept state is gone.
"""

import pickle
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import structs

from flows.clock import FeedClock
from flows.machine import MachineLogic
from flows.model import AggregateTrade, Candle, Kline, StoreOnly, Subscribed, Trade, TradeBatch, timeframe_ms
from flows.operators.candles.backfill_spans import missing_spans
from flows.operators.candles.bucket import Bucket
from flows.queries import (
    History,
    HistoryQuery,
    KlinesQuery,
    LastTradeQuery,
    Query,
    StoreCheckQuery,
    TradesQuery,
)
from flows.settings import Feed
from flows.steps import sequence_candles
from sinks.mongo.documents import is_candle_stored
from tests.fakes.trades import BEGIN

STEP_MS = 100
SYMBOL = "BTCUSDT"
KEY = f"binance:{SYMBOL}"
TIMEFRAMES = ("1s", "5s")
FIRST_MS = BEGIN + 3_250
"""The first trade: in the middle of a period of each timeframe."""
LIMIT = 20
"""Past candles that are fetched."""
SETTLING = 200
"""Steps of the last life behind the market's end, in which everything is answered that is queried."""
_BOOTED_MS = 1_000_000


class Market:
    """A trade each step and klines by the clock, for so many steps; the same at every call."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.trades = [_trade(number) for number in range(steps)]

    def now_ms(self, step: int) -> int:
        """The market's time at a step; it stands still at the end."""
        return FIRST_MS + min(step, self.steps - 1) * STEP_MS

    def events(self, step: int) -> list[list[Trade] | list[Kline]]:
        """What is sent at a step: its trade, klines that have closed, and every other time the running ones."""
        klines: list[Kline] = []
        for name in TIMEFRAMES:
            length, now = timeframe_ms(name), self.now_ms(step)
            if now % length < STEP_MS:
                klines += self.klines(name, now - now % length - length, now - now % length - 1, step)
            elif step % 2:
                klines += self.klines(name, now - now % length, now, step)
        return [[self.trades[step]], *([kline] for kline in klines)]

    def klines(self, timeframe: str, start: int, end: int, step: int) -> list[Kline]:
        """Those with trades that open in a span, both ends included, as known at a step; with ids."""
        length, found = timeframe_ms(timeframe), []
        known = self.trades[: step + 1]
        for open_time in range(start, end + 1, length):
            inside = [trade for trade in known if open_time <= trade.time < open_time + length]
            if inside:
                bucket = Bucket(open_time, 0.0)
                bucket.add_trades(inside)
                time, is_closed = self.now_ms(step), open_time + length <= self.now_ms(step)
                found.append(
                    Kline(*bucket.figures, symbol=SYMBOL, timeframe=timeframe, event_time=time, is_closed=is_closed)
                )
        return found


def _trade(number: int) -> Trade:
    time = FIRST_MS + number * STEP_MS
    return AggregateTrade(
        symbol=SYMBOL, id=number + 1, time=time, price=100 + number % 37 / 10, quantity=1 + number % 5 / 4,
        buyer_is_maker=number % 2 == 0, event_time=time, first_id=3 * number + 500, last_id=3 * number + 502,
    )  # fmt: skip


class Life(NamedTuple):
    """A life of the process; all in steps."""

    lasts: int = 0
    deaf: int = 0
    """Until its streams are subscribed."""
    slow: int = 0
    """Until a query is answered."""
    unkept: int = 0
    """Time before its end in which no state was kept."""
    away: int = 0
    """Between its end and the next life."""


class Store:
    """The stored candles, by timeframe and open time, and what was told of them."""

    def __init__(self) -> None:
        self.candles: dict[tuple[str, int], Candle] = {}
        self.told: defaultdict[tuple[str, int], list[Candle]] = defaultdict(list)
        """The closed versions for clients, in turn."""
        self.last: tuple[int, int] | None = None
        """Id and time of the newest trade."""

    def write(self, out: Iterable[Any]) -> None:
        """Takes what a process gives."""
        for item in out:
            match item:
                case Candle():
                    self._put(item)
                    if item.is_closed:
                        self.told[item.timeframe, item.open_time].append(item)
                case StoreOnly():
                    self._put(item.candle)
                case TradeBatch(late=False):
                    self.last = item.trades[-1].id, item.trades[-1].time

    def _put(self, candle: Candle) -> None:
        place = candle.timeframe, candle.open_time
        stored = self.candles.get(place)
        if stored is None or not is_candle_stored(candle, stored):
            self.candles[place] = candle


class Process:
    """One process, from a step on."""

    def __init__(self, market: Market, store: Store, life: Life, *, begin: int, state: bytes | None) -> None:
        self._market = market
        self._store = store
        self._life = life
        self._step = self._begin = begin
        self._clock = FeedClock(lambda: _BOOTED_MS + self._step * STEP_MS)
        self._due: list[tuple[int, Query, Callable[[Any], None]]] = []
        feed = Feed(
            timeframes=TIMEFRAMES, symbols=(SYMBOL,), streams=("aggTrade", "kline"),
            close_grace_ms=60_000, repair_ms=300_000, proof_grace_ms=500,
        )  # fmt: skip
        self._logic = MachineLogic[Any, Any](
            pickle.loads(state) if state else None,
            partial(sequence_candles, feed=feed, can_query=True),
            clock=self._clock,
            runner=self._run,
        )

    def live(self, step: int) -> None:
        """Whatever happens at a step."""
        self._step = step
        if step == self._begin + self._life.deaf:
            streams = tuple(f"{SYMBOL.lower()}@{name}" for name in ("aggTrade", *(f"kline_{t}" for t in TIMEFRAMES)))
            self._take([Subscribed("market", (SYMBOL,), streams)])
        if step >= self._begin + self._life.deaf and step < self._market.steps:
            self._clock.observe(self._market.trades[step].time)  # as the step before the machines does
            self._take(self._market.events(step))
        due, self._due = [one for one in self._due if one[0] <= step], [one for one in self._due if one[0] > step]
        for _, query, answer in due:
            answer(self._answer(query))
        self._store.write(self._logic.on_notify()[0])

    def state(self) -> bytes:
        """As the engine keeps it."""
        return pickle.dumps(self._logic.snapshot())

    def _take(self, items: Sequence[Any]) -> None:
        self._store.write(self._logic.on_batch([(KEY, item, self._clock.reading()) for item in items])[0])

    def _run(self, _key: str, query: Query, answer: Callable[[Any], None]) -> None:
        self._due.append((self._step + self._life.slow, query, answer))

    def _answer(self, query: Query) -> Any:
        match query:
            case LastTradeQuery():
                return self._store.last if query.first_id >= 0 else None  # no other process has followed it
            case StoreCheckQuery():
                return None
            case TradesQuery():
                known = self._market.trades[: self._step + 1]
                return [trade for trade in known if query.first_id <= trade.id <= query.last_id]
            case KlinesQuery():
                return self._rest_klines(query.timeframe, query.start, query.end)
            case HistoryQuery():
                return [self._history(name, query.now) for name in query.timeframes]
        raise AssertionError(query)

    def _rest_klines(self, timeframe: str, start: int, end: int) -> list[Kline]:
        return [_without_ids(kline) for kline in self._market.klines(timeframe, start, end, self._step)]

    def _history(self, timeframe: str, now: int) -> History:
        stored = {time: candle for (name, time), candle in self._store.candles.items() if name == timeframe}
        whole = [t for t, c in stored.items() if c.is_closed and c.status not in ("partial", "unproven")]
        klines: list[Kline] = []
        known: dict[int, Candle] = {}
        for span in missing_spans(whole, length=timeframe_ms(timeframe), now=now, limit=LIMIT):
            klines += self._rest_klines(timeframe, span.start, span.end)
            known |= {time: candle for time, candle in stored.items() if span.start <= time <= span.end}
        return History(timeframe, klines, known)


def _without_ids(kline: Kline) -> Kline:
    return structs.replace(kline, first_id=-1, last_id=-1)


def lived(market: Market, lives: Sequence[Life]) -> Store:
    """What is stored after these lives, of which the last one goes on to the market's end and beyond it."""
    store, state, begin = Store(), None, 0
    for number, life in enumerate(lives):
        process = Process(market, store, life, begin=begin, state=state)
        is_last = number == len(lives) - 1
        end = max(begin, market.steps) + SETTLING if is_last else begin + life.lasts
        for step in range(begin, end):
            process.live(step)
            if step == end - 1 - life.unkept:
                state = process.state()
        begin = end + life.away
    return store
