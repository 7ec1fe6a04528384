"""What Coinbase sends: matches and tickers one by one, books as they change, heartbeats every second.

Streams are named `<product>@<channel>`: of the Exchange feed `matches`, `ticker`, `heartbeat`, `level2_batch`, of the
Advanced feed `level2`, `market_trades`; without a product `status` (Exchange) and `heartbeats` (Advanced).
"""

from collections.abc import Iterator, Mapping
from functools import partial

from sources.replay.market.book import Book, decode_update
from sources.replay.market.lives import State
from sources.replay.market.market import Message, Wanted
from sources.replay.market.streams.derived import Follower
from sources.replay.market.streams.schedules import LAG_MS
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment
from sources.replay.venues.coinbase import advanced_messages, exchange_messages
from sources.replay.venues.coinbase.products import product_of
from sources.replay.venues.rows import TradeRow, TradeRows, rows_of

HEARTBEATS, STATUS = "heartbeats", "status"
_TICK_MS = 250
"""Trades of the Advanced feed are sent together so often."""
_STATUS_MS = 5_000
_MOST_LEVELS = 100_000
_SNAPSHOT_TRADES = 100


class CoinbaseDerived:
    """The messages of all products of a market."""

    tick_ms = _TICK_MS

    def __init__(self, markets: Mapping[str, SymbolMarket], recorded: frozenset[str]) -> None:
        self._recorded = recorded
        self._products = {name: ProductMessages(name, market) for name, market in markets.items()}
        self._counter = 0

    def product(self, name: str, now_ms: int) -> "ProductMessages | None":
        """The messages of a product; None for one that the market does not have, or has not yet."""
        product = self._products.get(name)
        return None if product is None or product.state(now_ms) is State.UNLISTED else product

    @property
    def names(self) -> tuple[str, ...]:
        """All products."""
        return tuple(self._products)

    def status(self, now_ms: int) -> bytes:
        """The `status` message."""
        listed = {name: one for name in self._products if (one := self.product(name, now_ms))}
        return exchange_messages.status(
            {product_of(name): (one.decimals, one.state(now_ms)) for name, one in listed.items()}
        )

    def followers(self, segment: SymbolSegment) -> dict[ChannelTimeline, Follower]:
        """Of trades and books."""
        product = self._products[segment.symbol]
        rows = TradeRows(segment.trades)
        found: dict[ChannelTimeline, Follower] = {
            segment.trade_channel: partial(self._without_recorded, partial(product.on_trade, rows))
        }
        if segment.depth_channel is not None:
            follow = partial(product.on_book, segment.depth_channel)
            found[segment.depth_channel] = partial(self._without_recorded, follow)
        return found

    def _without_recorded(self, follow: Follower, due_ms: int, index: int, wanted: Wanted) -> Iterator[Message]:
        return follow(due_ms, index, lambda stream: stream not in self._recorded and wanted(stream))

    def on_tick(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """Batches of trades, and every second the heartbeats."""
        is_second = now_ms % 1_000 == LAG_MS
        for product in self._products.values():
            yield from product.on_tick(now_ms, lambda name: name not in self._recorded and wanted(name))
            if is_second:
                yield from product.on_second(now_ms, lambda name: name not in self._recorded and wanted(name))
        if not is_second:
            return
        self._counter += 1
        if HEARTBEATS not in self._recorded and wanted(HEARTBEATS):
            yield Message(now_ms, HEARTBEATS, advanced_messages.heartbeat(self._counter, now_ms))
        if now_ms % _STATUS_MS == LAG_MS and wanted(STATUS):
            yield Message(now_ms, STATUS, self.status(now_ms))

    def on_end(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """Nothing waits."""
        del now_ms, wanted
        return iter(())


class ProductMessages:
    """The messages of one product."""

    def __init__(self, name: str, market: SymbolMarket) -> None:
        self.name = name
        self.market = market
        self.decimals = market.encoder.decimals
        self._last: TradeRow | None = None
        self._batch: list[TradeRow] = []
        self._has_book = False

    def state(self, now_ms: int) -> State:
        """What the product is at a time."""
        return self.market.life.state(now_ms)

    def on_trade(self, rows: TradeRows, due_ms: int, index: int, wanted: Wanted) -> Iterator[Message]:
        """The match and the ticker; the Advanced feed gets the trade with its batch."""
        row = self._last = rows[index]
        if wanted(f"{self.name}@matches"):
            yield Message(due_ms, f"{self.name}@matches", exchange_messages.match(self.name, self.decimals, row))
        if wanted(f"{self.name}@ticker") and (day := self.market.statistics(due_ms)):
            payload = exchange_messages.ticker(self.name, self.decimals, row, day)
            yield Message(due_ms, f"{self.name}@ticker", payload)
        if wanted(f"{self.name}@market_trades"):
            self._batch.append(row)

    def on_book(self, channel: ChannelTimeline, due_ms: int, index: int, wanted: Wanted) -> Iterator[Message]:
        """The changes of the book in the form of both feeds; the first book as a whole, for those who have subscribed
        before there was one.
        """
        streams = f"{self.name}@level2_batch", f"{self.name}@level2"
        chosen = [wanted(stream) for stream in streams]
        if self._has_book and not any(chosen):
            return
        book = self.market.book()
        update = decode_update(channel.payloads[index])
        if book is None or update.last_id > book.last_id:
            return
        is_first, self._has_book = not self._has_book, True
        if chosen[0]:
            whole = exchange_messages.snapshot(self.name, book, due_ms, _MOST_LEVELS) if is_first else None
            payload = whole or exchange_messages.book_update(self.name, update, due_ms)
            yield Message(due_ms, streams[0], payload)
        if chosen[1]:
            whole = self._whole(book, due_ms) if is_first else None
            payload = whole or advanced_messages.books(self.name, update.bids, update.asks, due_ms)
            yield Message(due_ms, streams[1], payload)

    def on_tick(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """The trades since the last tick, two of them in the wrong order, as the Advanced feed sends them."""
        rows, self._batch = self._batch, []
        if not rows or not wanted(f"{self.name}@market_trades"):
            return
        rows[-2:] = reversed(rows[-2:])
        payload = advanced_messages.trades(self.name, self.decimals, rows, now_ms)
        yield Message(now_ms, f"{self.name}@market_trades", payload)

    def on_second(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """The heartbeat; none before the first trade."""
        if self._last is not None and wanted(f"{self.name}@heartbeat"):
            payload = exchange_messages.heartbeat(self.name, self._last.id, now_ms)
            yield Message(now_ms, f"{self.name}@heartbeat", payload)

    # --- what a subscription begins with

    def last_match(self) -> bytes | None:
        """The last trade; None before the first."""
        last = self._last
        return None if last is None else exchange_messages.match(self.name, self.decimals, last, kind="last_match")

    def snapshot(self, now_ms: int) -> bytes | None:
        """The whole book for the Exchange feed; None while there is none."""
        book = self.market.book()
        return None if book is None else exchange_messages.snapshot(self.name, book, now_ms, _MOST_LEVELS)

    def advanced_snapshot(self, now_ms: int) -> bytes | None:
        """The whole book for the Advanced feed; None while there is none."""
        book = self.market.book()
        return None if book is None else self._whole(book, now_ms)

    def _whole(self, book: Book, now_ms: int) -> bytes:
        sides = book.bids(_MOST_LEVELS), book.asks(_MOST_LEVELS)
        return advanced_messages.books(self.name, *sides, now_ms, kind="snapshot")

    def newest_trades(self, now_ms: int) -> bytes:
        """The last trades for the Advanced feed, newest first."""
        rows = rows_of(self.market.played_trades().tail(_SNAPSHOT_TRADES))[::-1]
        return advanced_messages.trades(self.name, self.decimals, rows, now_ms, kind="snapshot")
