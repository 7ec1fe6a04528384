"""A venue's feed, parser and REST client, and the flow's own machines behind them, on a replay exchange in the venue's
dialect: without the engine, so that a test looks into each of them.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flows.clock import FeedClock
from flows.loop_thread import EventLoopThread
from flows.model import (
    BookView,
    Candle,
    ConnectionEvent,
    Flush,
    RawFrames,
    Rejected,
    StoreOnly,
    Trade,
    TradeBatch,
    TradingStatus,
)
from flows.operators.books.keeper import book_events
from flows.operators.parse import Batch, Parse, by_instrument
from flows.operators.trades.batching import MicroBatcher
from flows.operators.validate import Validate
from flows.queries import (
    BookQuery,
    DisputedTradesQuery,
    HistoryQuery,
    KlinesQuery,
    MissedTradesQuery,
    Query,
    QueryError,
    RenewQuery,
    TradesQuery,
)
from flows.settings import Books, Feed, Rest
from flows.steps.books import order_book
from flows.steps.trades import sequence_candles
from sources.bridge import FeedSource
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.market.playback import Playback
from sources.rest.client import VenueError
from sources.venue import VenueRest
from sources.venues import VENUES
from tests.fakes.venue_peers import BEGIN, PEERS, Peer

PATIENCE_S = 120
"""Longest wait for what should take a moment: a bound for broken runs, not a measure."""
LEVELS = 10
STREAMS = ("aggTrade", "kline", "ticker", "depth", "bookTicker")


class VenueLine:
    """A venue on a playing exchange. What it has brought is kept, and machines have taken it."""

    def __init__(
        self, name: str, peer: Peer, market: Playback, exchange: ThreadedExchange, rest: VenueRest, **settings: Any
    ) -> None:
        self.venue, self.peer, self.market, self.exchange, self.rest = VENUES[name], peer, market, exchange, rest
        self.settings = settings_of(name, exchange, **settings)
        self.stop = threading.Event()
        self.feed = self.venue.feed(self.settings)
        self.source = FeedSource(self.feed, settings=self.settings, stop=self.stop)
        self.network = EventLoopThread("rest of the test")
        clock = self.clock = FeedClock()
        self._parse = Parse(name, self.venue.parser())
        self._validate = Validate(name, clock, self.venue.rules)
        self._batch = MicroBatcher(clock, hold_ms=0, monotonic_ms=lambda: clock.now().local)
        self.pipelines: dict[str, Any] = {}
        self.keepers: dict[str, Any] = {}
        self.polled: list[RawFrames] = []
        self.events: list[ConnectionEvent] = []
        self.rejected: list[Rejected] = []
        self.statuses: dict[str, str] = {}
        """The status of each symbol of which the streams have brought one."""
        self.streamed: defaultdict[str, list[Trade]] = defaultdict(list)
        """Trades as the stream has brought them, by symbol."""
        self.given: defaultdict[str, list[Any]] = defaultdict(list)
        """What the machines of an instrument gave, by symbol."""
        self._closed: defaultdict[tuple[str, str], dict[int, Candle]] = defaultdict(dict)
        self._views: dict[str, BookView] = {}
        self._sequenced: defaultdict[str, list[Trade]] = defaultdict(list)
        self._partition: Any = None

    # --- life ---

    def follow(self, *symbols: str, not_trading: tuple[str, ...] = ()) -> None:
        """Subscribes to these symbols and no others."""
        self.source.follow(dict.fromkeys(symbols, ()), not_trading=frozenset(not_trading))
        if self._partition is None:
            [part] = self.source.list_parts()
            self._partition = self.source.build_part("source", part, None)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Polls until something is so."""
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end, f"nothing more comes; the last events: {self.events[-5:]}"
            self.poll()

    def poll(self) -> None:
        """Takes what has arrived through all steps, and runs what the machines query."""
        polled = self._partition.next_batch()
        self.polled += [item for item in polled if isinstance(item, RawFrames)]
        self.events += [item for item in polled if not isinstance(item, RawFrames | Flush)]
        items = self._validate(self._parse(polled))
        self.rejected += [item for item in items if isinstance(item, Rejected)]
        for item in by_instrument(items):  # type: ignore[arg-type]
            if isinstance(item, TradingStatus):
                self.statuses |= dict.fromkeys(item.symbols, item.status)
            if isinstance(item, Batch) and isinstance(item.events[0], Trade):
                self.streamed[item.events[0].symbol] += item.events  # type: ignore[arg-type]
        for key, events in self._batch(items):
            machine = self._pipeline(key)
            self._run(machine, key, machine.on_events(events, self.now))
        for key, changes in book_events(items):
            machine = self._keeper(key)
            self._run(machine, key, machine.on_events(changes, self.now))
        for machines in (self.pipelines, self.keepers):
            for key, machine in machines.items():
                due = machine.due_in(self.now)
                if due is not None and due <= 0:
                    self._run(machine, key, machine.on_timer(self.now))

    def close(self) -> None:
        """Ends the connections."""
        self.stop.set()
        if self._partition is not None:
            self._partition.close()
        self.answer(self.rest.__aexit__())
        self.network.close()

    @property
    def now(self) -> Any:
        """Of the venue's clock."""
        return self.clock.now()

    # --- what has come ---

    def of_symbol(self, symbol: str, kind: type) -> list[Any]:
        """What the machines gave of a type."""
        return [item for item in self.given[symbol] if isinstance(item, kind)]

    def sequenced(self, symbol: str) -> list[Trade]:
        """The trades in the order in which the sequence has handed them on."""
        return self._sequenced[symbol]

    def closed(self, symbol: str, timeframe: str) -> dict[int, Candle]:
        """The newest version of each closed candle, by its begin."""
        return self._closed[symbol, timeframe]

    def view(self, symbol: str) -> BookView | None:
        """The newest view of a book."""
        return self._views.get(symbol)

    def events_of(self, kind: type) -> list[Any]:
        """Events of the connections of a type."""
        return [event for event in self.events if isinstance(event, kind)]

    def answer(self, query: Any) -> Any:
        """The answer of the venue's REST interface to a coroutine."""
        return self.network.start(query).result(PATIENCE_S)

    # --- machines ---

    def _pipeline(self, key: str) -> Any:
        if key not in self.pipelines:
            self.pipelines[key] = sequence_candles(
                key, None, feed=self.settings, can_query=True, rules=self.venue.rules
            )
        return self.pipelines[key]

    def _keeper(self, key: str) -> Any:
        if key not in self.keepers:
            books = Books(levels=LEVELS, every_ms=0)
            self.keepers[key] = order_book(key, None, books=books, rules=self.venue.rules)
        return self.keepers[key]

    def _run(self, machine: Any, key: str, given: Sequence[Any]) -> None:
        """Keeps what a machine has given, and answers what it queries."""
        waiting = list(given)
        symbol = key.partition(":")[2]
        while waiting:
            item = waiting.pop(0)
            if not isinstance(item, Query):
                self.given[symbol].append(item)
                candle = item.candle if isinstance(item, StoreOnly) else item  # a proof that comes later
                if isinstance(candle, Candle) and candle.is_closed:
                    self._closed[symbol, candle.timeframe][candle.open_time] = candle
                elif isinstance(item, BookView):
                    self._views[symbol] = item
                elif isinstance(item, TradeBatch):
                    self._sequenced[symbol] += item.trades
                continue
            waiting += machine.on_answer(item, self._answer_of(item), self.now)

    def _answer_of(self, query: Query) -> Any:
        rest = self.rest
        handlers: dict[type, Callable[[Any], Any]] = {
            TradesQuery: rest.trades,
            MissedTradesQuery: rest.trades,
            DisputedTradesQuery: rest.disputed_trades,
            KlinesQuery: rest.klines,
            BookQuery: rest.book,
        }
        if isinstance(query, RenewQuery):
            self.source.renew(query.symbol, query.kinds, query.reason)
            return None
        if isinstance(query, HistoryQuery):
            return []  # nothing is missing in the past of a market that has just begun
        handler = handlers.get(type(query))
        if handler is None:
            return QueryError("there is no store here", lasting=True)
        try:
            return self.answer(handler(query))
        except VenueError as error:
            return QueryError(str(error))
        except QueryError as error:
            return error


def settings_of(name: str, exchange: ThreadedExchange, **settings: Any) -> Feed:
    """The settings of a feed of this exchange."""
    usual = {
        "venue": name,
        "origin": "synthetic",
        "symbols": PEERS[name].symbols,
        "timeframes": ("1m",),
        "streams": STREAMS,
        "ws_url": f"{exchange.ws_url}{PEERS[name].ws_path}",
        "rest_url": exchange.rest_url,
        "open_timeout_s": 60,  # a busy machine is no failure
        "backoff_min_s": 0.05,
        "backoff_max_s": 0.2,
        "proof_grace_ms": 500,
        "close_grace_ms": 60_000,
        "repair_ms": 600_000,
        "seed_ms": 1_000,
    }
    return Feed.model_validate(usual | settings)


@contextmanager
def venue_line(
    name: str, *, speed: float = 4.0, begin: int = BEGIN, trades_per_s: float = 5.0, **settings: Any
) -> Iterator[VenueLine]:
    """A venue whose market stands still until `exchange.resume()`."""
    peer = PEERS[name]
    symbols = [peer.instrument(symbol) for symbol in peer.symbols]
    served = peer.market(symbols, seed=11, start_ms=begin, trades_per_s=trades_per_s)
    with exchange_in_thread(
        served.market, dialect=served.dialect, speed=speed, paused=True, start_now=True
    ) as exchange:
        chosen = settings_of(name, exchange, **settings)
        line = VenueLine(name, peer, served.market, exchange, VENUES[name].rest(chosen, Rest(timeout_s=60)), **settings)
        line.rest.rate_limit.counter.limit = 1_000_000  # the peer has no limit, and these tests are not about it
        try:
            yield line
        finally:
            line.close()
