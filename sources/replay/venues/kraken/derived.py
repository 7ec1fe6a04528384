"""What Kraken sends: trades by order, candles and tickers with each, books by depth, a heartbeat every second.

Streams are named `<pair>@<channel>`, as `BTC/USD@trade`, `BTC/USD@book-10`, `BTC/USD@ohlc-1`, `BTC/USD@ticker`,
`BTC/USD@ticker-bbo`; `heartbeat` goes to every client with a subscription, `instrument` has the pairs that change.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from sources.replay.market.decimals import Decimals
from sources.replay.market.intervals import open_of
from sources.replay.market.lives import State
from sources.replay.market.market import Message, Wanted
from sources.replay.market.streams.derived import Follower
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment
from sources.replay.venues.kraken import messages
from sources.replay.venues.kraken.books import DEPTHS, BookView
from sources.replay.venues.kraken.pairs import Pair, pair_of
from sources.replay.venues.rows import TradeRows, rows_of

HEARTBEATS, INSTRUMENTS = "heartbeat", "instrument"
_TICK_MS = 1_000
_SNAPSHOT_TRADES = 50
_SNAPSHOT_CANDLES = 720


class KrakenDerived:
    """The messages of all pairs of a market."""

    tick_ms = _TICK_MS

    def __init__(self, markets: Mapping[str, SymbolMarket], recorded: frozenset[str]) -> None:
        self._recorded = recorded
        self._pairs = {name: PairMessages(pair_of(name), market) for name, market in markets.items()}
        self._states: dict[str, State] = {}

    def pair(self, symbol: str, now_ms: int) -> "PairMessages | None":
        """The messages of a pair; None for one that the market does not have, or has not yet."""
        pair = self._pairs.get(symbol)
        return None if pair is None or pair.state(now_ms) is State.UNLISTED else pair

    def instruments(self, now_ms: int) -> bytes:
        """The snapshot of the channel `instrument`."""
        return messages.instruments(self._rows(self._pairs, now_ms))

    def _rows(self, names: Iterable[str], now_ms: int) -> dict[Pair, tuple[Decimals, State]]:
        pairs = [pair for name in names if (pair := self.pair(name, now_ms))]
        return {pair.pair: (pair.decimals, pair.state(now_ms)) for pair in pairs}

    def followers(self, segment: SymbolSegment) -> dict[ChannelTimeline, Follower]:
        """Of trades, books and quotes."""
        pair = self._pairs[segment.symbol]
        rows = TradeRows(segment.trades)
        found: dict[ChannelTimeline, Follower] = {
            segment.trade_channel: partial(self._without_recorded, partial(pair.on_trade, rows))
        }
        if segment.depth_channel is not None:
            found[segment.depth_channel] = partial(self._without_recorded, pair.on_book)
        if segment.quote_channel is not None:
            found[segment.quote_channel] = partial(self._without_recorded, pair.on_quote)
        return found

    def _without_recorded(self, follow: Follower, due_ms: int, index: int, wanted: Wanted) -> Iterator[Message]:
        return follow(due_ms, index, lambda stream: stream not in self._recorded and wanted(stream))

    def on_tick(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """The heartbeat, and the pairs that have another state than a second ago."""
        states = {name: pair.state(now_ms) for name, pair in self._pairs.items()}
        before, self._states = self._states or states, states
        changed = [name for name, state in states.items() if state is not before[name]]
        if changed and wanted(INSTRUMENTS):
            yield Message(now_ms, INSTRUMENTS, messages.instruments(self._rows(changed, now_ms), kind="update"))
        if HEARTBEATS not in self._recorded and wanted(HEARTBEATS):
            yield Message(now_ms, HEARTBEATS, messages.HEARTBEAT)

    def on_end(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """Nothing waits."""
        del now_ms, wanted
        return iter(())


class PairMessages:
    """The messages of one pair, and the books that its clients have."""

    def __init__(self, pair: Pair, market: SymbolMarket) -> None:
        self.pair = pair
        self.market = market
        self.decimals = market.encoder.decimals
        self._views: dict[int, BookView] = {}

    def state(self, now_ms: int) -> State:
        """What the pair is at a time."""
        return self.market.life.state(now_ms)

    def on_trade(self, rows: TradeRows, due_ms: int, index: int, wanted: Wanted) -> Iterator[Message]:
        """After the last fill of an order: the trades, the candles and the ticker."""
        group = rows.group_that_ends_at(index)
        if group is None:
            return
        name = self.pair.symbol
        if wanted(f"{name}@trade"):
            yield Message(due_ms, f"{name}@trade", messages.trades(self.pair, self.decimals, group))
        for minutes, interval in messages.INTERVALS.items():
            stream = f"{name}@ohlc-{minutes}"
            if wanted(stream) and (kline := self.market.kline(interval, open_of(interval, group[-1].time_ms))):
                yield Message(due_ms, stream, messages.candles(self.pair, self.decimals, minutes, [kline], due_ms))
        yield from self._ticker(f"{name}@ticker", due_ms, wanted)

    def on_quote(self, due_ms: int, _index: int, wanted: Wanted) -> Iterator[Message]:
        """The ticker of those who want one with each change of the best prices."""
        yield from self._ticker(f"{self.pair.symbol}@ticker-bbo", due_ms, wanted)

    def _ticker(self, stream: str, due_ms: int, wanted: Wanted) -> Iterator[Message]:
        if wanted(stream) and (payload := self.ticker(due_ms)):
            yield Message(due_ms, stream, payload)

    def on_book(self, due_ms: int, _index: int, wanted: Wanted) -> Iterator[Message]:
        """What has changed in each depth that is wanted; a view without a client is given up."""
        for depth in DEPTHS:
            stream = f"{self.pair.symbol}@book-{depth}"
            if not wanted(stream):
                self._views.pop(depth, None)
                continue
            book, view = self.market.book(), self._views.get(depth)
            if book is None:
                continue
            if view is None:  # a client that subscribed before there was a book
                self._views[depth] = view = BookView(book, depth)
                yield Message(due_ms, stream, messages.book(self.pair, view.snapshot(), due_ms, kind="snapshot"))
            elif change := view.follow(book):
                yield Message(due_ms, stream, messages.book(self.pair, change, due_ms))

    # --- snapshots

    def trades(self) -> bytes:
        """The newest trades."""
        newest = self.market.played_trades().tail(_SNAPSHOT_TRADES)
        return messages.trades(self.pair, self.decimals, rows_of(newest), kind="snapshot")

    def candles(self, minutes: int, now_ms: int) -> bytes:
        """The newest candles, oldest first; periods without a trade are left out."""
        klines = self.market.klines(
            messages.INTERVALS[minutes], now_ms=now_ms, start_ms=None, end_ms=None, limit=_SNAPSHOT_CANDLES
        )
        traded = [kline for kline in klines if kline.trades]
        return messages.candles(self.pair, self.decimals, minutes, traded, now_ms, kind="snapshot")

    def ticker(self, now_ms: int, *, kind: str = "update") -> bytes | None:
        """The ticker; None before anything was traded."""
        day = self.market.statistics(now_ms)
        return None if day is None else messages.ticker(self.pair, self.decimals, day, kind=kind)

    def book(self, depth: int, now_ms: int) -> bytes | None:
        """The book that clients of a depth have, which the next change follows; None while there is none."""
        view = self._views.get(depth)
        if view is None:
            book = self.market.book()
            if book is None:
                return None
            view = self._views[depth] = BookView(book, depth)
        return messages.book(self.pair, view.snapshot(), now_ms, kind="snapshot")
