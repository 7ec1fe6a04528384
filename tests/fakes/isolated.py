"""A market of two instruments over some minutes as the exchange words it, and a flow without an engine that takes it:
from bytes to candles, trades, prices and a book, with a REST side that tells the truth. For laws about wrong messages.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec import structs

from flows.clock import FeedClock, Now
from flows.model import (
    AggregateTrade,
    BookSnapshot,
    BookView,
    Candle,
    Flush,
    Incident,
    Kline,
    MarketData,
    RawFrames,
    Rejected,
    StoreOnly,
    StoreOnlyTrades,
    StreamNames,
    Subscribed,
    TradeBatch,
)
from flows.operators.books.keeper import BookKeeper, BookPolicy, book_events
from flows.operators.parse import Parse
from flows.operators.prices import Prices
from flows.operators.trades.batching import MicroBatcher
from flows.operators.validate import Validate
from flows.queries import (
    BookQuery,
    DisputedTradesQuery,
    HistoryQuery,
    KlinesQuery,
    LastTradeQuery,
    RenewQuery,
    TradesQuery,
)
from flows.settings import Feed
from flows.steps import sequence_candles
from sources.binance.parse import BinanceParser
from sources.binance.rules import RULES

BEGIN = 1_767_225_600_000
"""A midnight."""
STEP_MS = 100
SYMBOLS = ("BTCUSDT", "ETHUSDT")
TIMEFRAMES = ("1m", "5m")
LENGTHS = {"1m": 60_000, "5m": 300_000}
OPENING_BOOK = (8_999, [["98.00", "5"]], [["102.00", "5"]])
"""The book of BTCUSDT before its first change: last id, bids, asks."""


class Message(NamedTuple):
    """One message of the tape."""

    line: str
    time: int
    """When it is sent, ms UTC."""
    stream: str
    data: dict[str, Any]

    def frame(self) -> bytes:
        """As on the wire."""
        return json.dumps(
            {"stream": self.stream, "data": self.data}, separators=(",", ":"), ensure_ascii=False
        ).encode()


class _Totals:
    """What the trades of a symbol in some time come to."""

    def __init__(self) -> None:
        self.first: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self.volume = self.value = self.bought = self.bought_value = 0.0
        self.high = 0.0
        self.low = float("inf")

    def add(self, trade: dict[str, Any]) -> None:
        """One more, behind the others."""
        price, quantity = float(trade["p"]), float(trade["q"])
        self.first, self.last = self.first or trade, trade
        self.volume += quantity
        self.value += quantity * price
        if not trade["m"]:
            self.bought += quantity
            self.bought_value += quantity * price
        self.high, self.low = max(self.high, price), min(self.low, price)

    def kline(self) -> dict[str, Any]:
        """As the exchange words them."""
        return {
            "f": self.first["f"], "L": self.last["l"], "o": self.first["p"], "c": self.last["p"],
            "h": f"{self.high:.2f}", "l": f"{self.low:.2f}", "v": f"{self.volume:.2f}",
            "n": self.last["l"] - self.first["f"] + 1,
            "q": f"{self.value:.8f}", "V": f"{self.bought:.2f}", "Q": f"{self.bought_value:.8f}",
        }  # fmt: skip


class Market:
    """The truth: trades, klines and a book, the same at every call with the same length."""

    def __init__(self, seconds: int = 150) -> None:
        self._totals = {symbol: _Totals() for symbol in SYMBOLS}
        self._candles: dict[tuple[str, str, int], _Totals] = defaultdict(_Totals)
        """By symbol, timeframe and open time."""
        self.trades: dict[str, list[dict[str, Any]]] = {symbol: [] for symbol in SYMBOLS}
        self.books: list[tuple[int, list[list[str]], list[list[str]]]] = []
        """Update id, bids and asks of BTCUSDT after each difference."""
        self.tape: list[Message] = []
        for step in range(seconds * 1_000 // STEP_MS):
            self._step(BEGIN + 7_000 + step * STEP_MS, step)

    def _step(self, time: int, step: int) -> None:
        for place, symbol in enumerate(SYMBOLS):
            if step % (1 + 2 * place) == 0:
                self._trade(symbol, time, step, place)
        if step % 10 == 5:
            for symbol in SYMBOLS:
                self._ticker(symbol, time)
        for symbol in SYMBOLS:
            for name, length in LENGTHS.items():
                if step % 20 == 3 or time % length < STEP_MS:
                    self._kline(symbol, name, time)
        self._depth(time, step)

    def _trade(self, symbol: str, time: int, step: int, place: int) -> None:
        known = self.trades[symbol]
        number, first = len(known) + 100 * (place + 1), (known[-1]["l"] + 1 if known else 5_000 * (place + 1))
        price = f"{100 * (place + 1) + step % 37 / 10:.2f}"
        data = {
            "e": "aggTrade", "E": time + 2, "s": symbol, "a": number, "p": price, "q": f"{1 + step % 5}.25",
            "f": first, "l": first + step % 3, "T": time, "m": step % 2 == 0, "M": True,
        }  # fmt: skip
        known.append(data)
        self._totals[symbol].add(data)
        for timeframe, length in LENGTHS.items():
            self._candles[symbol, timeframe, time // length * length].add(data)
        self.tape.append(Message("market", time + 2, f"{symbol.lower()}@aggTrade", data))

    def _ticker(self, symbol: str, time: int) -> None:
        trades, totals = self.trades[symbol], self._totals[symbol]
        first, last = float(trades[0]["p"]), float(trades[-1]["p"])
        data = {
            "e": "24hrTicker", "E": time + 3, "s": symbol, "p": f"{last - first:.2f}", "P": "0.1",
            "w": f"{totals.value / totals.volume:.8f}", "c": f"{last:.2f}", "Q": "1", "o": f"{first:.2f}",
            "h": f"{totals.high:.2f}", "l": f"{totals.low:.2f}", "v": f"{totals.volume:.2f}",
            "q": f"{totals.value:.8f}", "O": time - 86_400_000, "C": time, "F": trades[0]["f"], "L": trades[-1]["l"],
            "n": trades[-1]["l"] - trades[0]["f"] + 1,
        }  # fmt: skip
        self.tape.append(Message("market", time + 3, f"{symbol.lower()}@ticker", data))

    def _kline(self, symbol: str, timeframe: str, time: int) -> None:
        length = LENGTHS[timeframe]
        open_time = time // length * length
        is_begin = time % length < STEP_MS
        if is_begin:
            open_time -= length
        inside = self._candles.get((symbol, timeframe, open_time))
        if inside is None:
            return
        k = {
            "t": open_time, "T": open_time + length - 1, "s": symbol, "i": timeframe, **inside.kline(), "x": is_begin,
        }  # fmt: skip
        data = {"e": "kline", "E": time + 4, "s": symbol, "k": k}
        self.tape.append(Message("market", time + 4, f"{symbol.lower()}@kline_{timeframe}", data))

    def _depth(self, time: int, step: int) -> None:
        update = 9_000 + 3 * step
        bid, query = f"{99 - step % 7 / 10:.2f}", f"{101 + step % 5 / 10:.2f}"
        bids, asks = [[bid, f"{1 + step % 3}"]], [[query, f"{2 + step % 4}"]]
        before = self.books[-1] if self.books else OPENING_BOOK
        levels = dict([*before[1], *bids]), dict([*before[2], *asks])
        self.books.append((
            update + 2,
            sorted(map(list, levels[0].items()), key=lambda level: -float(level[0])),
            sorted(map(list, levels[1].items()), key=lambda level: float(level[0])),
        ))  # fmt: skip
        data = {"e": "depthUpdate", "E": time + 1, "s": "BTCUSDT", "U": update, "u": update + 2, "b": bids, "a": asks}
        self.tape.append(Message("public", time + 1, "btcusdt@depth@100ms", data))

    # --- REST ---

    def aggregates(self, query: TradesQuery, now: int) -> list[AggregateTrade]:
        """What REST knows of these ids at a time."""
        return [t for t in self._known(query.symbol, now) if query.first_id <= t.id <= query.last_id]

    def disputed(self, query: DisputedTradesQuery, now: int) -> list[AggregateTrade]:
        """The trades of these raw ids."""
        known = self._known(query.symbol, now)
        return [t for t in known if query.first_id <= t.last_id and t.first_id <= query.last_id]

    def _known(self, symbol: str, now: int) -> list[AggregateTrade]:
        return [
            AggregateTrade(
                symbol=symbol, id=t["a"], time=t["T"], price=float(t["p"]), quantity=float(t["q"]),
                buyer_is_maker=t["m"], event_time=t["T"], first_id=t["f"], last_id=t["l"],
            )
            for t in self.trades[symbol]
            if t["T"] <= now
        ]  # fmt: skip

    def klines(self, query: KlinesQuery, now: int) -> list[Kline]:
        """The exchange's history, without ids."""
        length, found = LENGTHS[query.timeframe], []
        for open_time in range(query.start, query.end + 1, length):
            inside = self._candles.get((query.symbol, query.timeframe, open_time))
            if inside is not None:
                k = inside.kline()
                found.append(Kline(
                    open_time, float(k["o"]), float(k["h"]), float(k["l"]), float(k["c"]), float(k["v"]),
                    float(k["q"]), k["n"], float(k["V"]), float(k["Q"]), -1, -1, symbol=query.symbol,
                    timeframe=query.timeframe, event_time=open_time + length - 1,
                    is_closed=open_time + length <= now,
                ))  # fmt: skip
        return found

    def snapshot(self, now: int) -> BookSnapshot:
        """The book of BTCUSDT at a time."""
        known = [book for book, sent in zip(self.books, self._depth_times(), strict=True) if sent <= now]
        update, bids, asks = known[-1] if known else OPENING_BOOK
        sides = [[(float(price), float(quantity)) for price, quantity in side] for side in (bids, asks)]
        return BookSnapshot("BTCUSDT", update, sides[0], sides[1])

    def _depth_times(self) -> list[int]:
        return [message.time for message in self.tape if message.line == "public"]


class Results(NamedTuple):
    """What a run has left behind."""

    candles: dict[tuple[str, str, int], Candle]
    """The last version of each closed one, without what depends on the moment."""
    trades: dict[str, list[AggregateTrade]]
    prices: dict[str, MarketData]
    book: BookView
    rejected: list[Rejected]
    incidents: list[Incident]


class Flow:
    """The steps of the flow in their order, on a local clock that the tape moves."""

    def __init__(self, market: Market, *, gives_disputed: bool = True) -> None:
        """Without `gives_disputed`, the REST side never answers what is asked of the trades of a wrong candle."""
        self._market = market
        self.gives_disputed = gives_disputed
        self.local = 1_000_000
        self._clock = FeedClock(lambda: self.local)
        self._trade_clock = self._clock.twin()
        rules = RULES["binance"]
        self._parse = Parse("binance", BinanceParser("binance"))
        self._validate = Validate("binance", self._clock, rules)
        self._gather = MicroBatcher(self._trade_clock, hold_ms=0, monotonic_ms=lambda: self.local)
        self._prices = Prices()
        feed = Feed(timeframes=TIMEFRAMES, symbols=SYMBOLS, kline_limit=5)
        self._machines: dict[str, Any] = {
            f"binance:{s}": sequence_candles(f"binance:{s}", None, feed=feed, can_query=True, rules=rules)
            for s in SYMBOLS
        }
        policy = BookPolicy(levels=5, every_ms=0, depth=100, audit_ms=10**9)
        self._books = BookKeeper("binance:BTCUSDT", policy=policy, rules=rules)
        self._now_feed = 0
        streams = frozenset(message.stream for message in market.tape)
        self._names = StreamNames(streams)
        self.candles: dict[tuple[str, str, int], Candle] = {}
        self.trades: defaultdict[str, dict[int, AggregateTrade]] = defaultdict(dict)
        self.prices: dict[str, MarketData] = {}
        self.book: BookView | None = None
        self.rejected: list[Rejected] = []
        self.incidents: list[Incident] = []
        self.most_at_once = 0
        """Most candles that came out of one call."""
        self.closed_at: dict[tuple[str, str, int], int] = {}
        """The market's time at which a candle was closed for the first time."""

    def run(
        self, messages: Iterable[tuple[int, str, bytes]], *, local_of: Callable[[int], int] = lambda true_ms: true_ms
    ) -> Results:
        """Takes `(time, line, frame)`, at the pace of the market; then some seconds in which nothing comes. `local_of`
        gives the time of the local clock, ms, by the true time since the begin.
        """
        self._take([Subscribed(line, SYMBOLS, ()) for line in ("market", "public")])
        start, clock = BEGIN + 7_000, self.local
        by_step: defaultdict[int, list[tuple[str, bytes]]] = defaultdict(list)
        for time, line, frame in messages:
            by_step[(time - start) // STEP_MS].append((line, frame))
        for step in range(max(by_step) + 1 + 60_000 // STEP_MS):
            self.local, self._now_feed = clock + local_of(step * STEP_MS), start + step * STEP_MS
            items: list[Any] = []
            for line in ("market", "public"):
                payloads = [frame for on, frame in by_step.get(step, ()) if on == line]
                items += [RawFrames(line, payloads, 0, self._names)] if payloads else []
            self._take([*items, Flush()])
        assert self.book is not None
        return Results(
            {key: structs.replace(c, event_time=0, revision=0) for key, c in self.candles.items() if c.is_closed},
            {symbol: [known[i] for i in sorted(known)] for symbol, known in self.trades.items()},
            self.prices,
            structs.replace(self.book, event_time=0),
            self.rejected,
            self.incidents,
        )

    def _take(self, items: list[Any]) -> None:
        valid = self._validate(self._parse(items))
        for price in self._prices(valid):
            self.prices[price.symbol] = structs.replace(price, time=0)
        self._keep(valid)
        for key, events in self._gather(valid):
            machine = self._machines.get(key)
            if machine is not None:
                self._settle(key, machine, machine.on_events(events, self._trade_clock.now()))
        for key, machine in self._machines.items():
            self._wake(key, machine, self._trade_clock.now())
        for key, changes in book_events(valid):
            if key == "binance:BTCUSDT":
                self._settle(key, self._books, self._books.on_events(changes, self._clock.now()))
        self._wake("binance:BTCUSDT", self._books, self._clock.now())

    def _wake(self, key: str, machine: Any, now: Now) -> None:
        due = machine.due_in(now)
        if due is not None and due <= 0:
            self._settle(key, machine, machine.on_timer(now))

    def _settle(self, key: str, machine: Any, out: list[Any]) -> None:
        """Keeps what came out, and answers what was asked at once."""
        self.most_at_once = max(self.most_at_once, sum(isinstance(item, Candle) for item in out))
        for item in out:
            match item:
                case LastTradeQuery() | RenewQuery():
                    self._settle(key, machine, machine.on_answer(item, None, self._clock.now()))
                case TradesQuery():
                    found = self._market.aggregates(item, self._now_feed)
                    self._settle(key, machine, machine.on_answer(item, found, self._trade_clock.now()))
                case KlinesQuery():
                    klines = self._market.klines(item, self._now_feed)
                    self._settle(key, machine, machine.on_answer(item, klines, self._trade_clock.now()))
                case HistoryQuery():
                    self._settle(key, machine, machine.on_answer(item, [], self._trade_clock.now()))
                case DisputedTradesQuery() if self.gives_disputed:
                    found = self._market.disputed(item, self._now_feed)
                    self._settle(key, machine, machine.on_answer(item, found, self._trade_clock.now()))
                case BookQuery():
                    snapshot = self._market.snapshot(self._now_feed)
                    self._settle(key, machine, machine.on_answer(item, snapshot, self._clock.now()))
                case _:
                    self._keep([item])

    def _keep(self, items: Iterable[Any]) -> None:
        for item in items:
            match item:
                case Candle():
                    self._keep_candle(item)
                case StoreOnly():
                    self._keep_candle(item.candle)
                case StoreOnlyTrades():
                    self._keep([item.batch])
                case TradeBatch():
                    known = self.trades[item.symbol]
                    known |= {t.id: _as_stored(t) for t in item.trades}
                case BookView():
                    self.book = item
                case Rejected():
                    self.rejected.append(item)
                case Incident():
                    self.incidents.append(item)

    def _keep_candle(self, candle: Candle) -> None:
        key = candle.symbol, candle.timeframe, candle.open_time
        known = self.candles.get(key)
        if candle.is_closed:
            self.closed_at.setdefault(key, self._now_feed)
        if known is None or candle.is_closed or not known.is_closed:
            self.candles[key] = candle


def _as_stored(trade: Any) -> AggregateTrade:
    return AggregateTrade(
        symbol=trade.symbol, id=trade.id, time=trade.time, price=trade.price, quantity=trade.quantity,
        buyer_is_maker=trade.buyer_is_maker, event_time=0, first_id=trade.first_id, last_id=trade.last_id,
    )  # fmt: skip
