"""A market that plays timelines. Tapes and synthetic markets differ only in where their timelines come from."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sources.replay.market.exchange_info import exchange_info_row
from sources.replay.market.intervals import MINUTE_MS
from sources.replay.market.lives import Lives, State
from sources.replay.market.market import PAUSE, IsDue, MarketKind, Message, Wanted, always_due
from sources.replay.market.streams.derived import BinanceDerived, Derive, Derived, Follower
from sources.replay.market.streams.schedules import LAG_MS
from sources.replay.market.symbol_market import AVERAGE_MS, SymbolMarket
from sources.replay.market.timeline import ChannelTimeline, Timeline


class Playback:
    """Plays timelines one after the other and tracks what has been played. Implements `Market`.

    `recorded` are the streams that the timelines contain themselves; these are not derived. `derive` is what another
    venue than Binance sends beside them.
    """

    def __init__(
        self,
        kind: MarketKind,
        markets: Mapping[str, SymbolMarket],
        timelines: Iterable[Timeline],
        *,
        begin_ms: int,
        recorded: frozenset[str] = frozenset(),
        derive: Derive | None = None,
        move: Callable[[int], int] | None = None,
        lives: Lives | None = None,
    ) -> None:
        """`move` moves the times of a market that is not played yet to near a time; it returns the new begin."""
        self.kind: MarketKind = kind
        self.lives = lives or Lives()
        """When its symbols trade."""
        self.markets = markets
        """Its symbols."""
        self._timelines = iter(timelines)
        self._move = move
        self.derived: Derived = derive(markets, recorded) if derive else BinanceDerived(kind, markets, recorded)
        """What is sent beside the channels of the timelines."""
        self._begin(begin_ms)

    def _begin(self, begin_ms: int) -> None:
        tick_ms = self.derived.tick_ms
        self._now_ms = begin_ms
        self._tick_ms = begin_ms - begin_ms % tick_ms + LAG_MS
        if self._tick_ms <= begin_ms:
            self._tick_ms += tick_ms

    def move_to(self, now_ms: int) -> None:
        """Moves the times of a market that is not played yet, so that it begins shortly before `now_ms`; not those of
        one whose times are its own.
        """
        if self._move is not None:
            self._begin(self._move(now_ms))

    @property
    def now_ms(self) -> int:
        """Exchange time of what was played last; the market's begin before that."""
        return self._now_ms

    def play(self, wanted: Wanted, is_due: IsDue = always_due) -> Iterator[Message]:
        """The messages in the order of their `due_ms`, with pauses before what is not due yet. A second call goes on
        with the next timeline.
        """
        for timeline in self._timelines:
            for segment in timeline.segments:
                self.markets[segment.symbol].begin(segment)
            yield from self._play_timeline(timeline, wanted, is_due)
            while self._tick_ms <= timeline.end_ms:
                yield from self._on_tick(wanted, is_due)
        yield from self.derived.on_end(self._now_ms, wanted)

    def _play_timeline(self, timeline: Timeline, wanted: Wanted, is_due: IsDue) -> Iterator[Message]:
        # The hot loop: it runs for every message of a tape, wanted or not.
        followers: dict[ChannelTimeline, Follower] = {}
        siblings: dict[ChannelTimeline, tuple[str, ...]] = {}  # streams that carry the same trades
        for segment in timeline.segments:
            siblings[segment.trade_channel] = segment.aggregate_channel.streams
            siblings[segment.aggregate_channel] = segment.trade_channel.streams
            followers.update(self.derived.followers(segment))
        tick_ms = self._tick_ms
        for due_ms, channel, index in timeline:
            while due_ms >= tick_ms:
                yield from self._on_tick(wanted, is_due)
                tick_ms = self._tick_ms
            streams = [stream for stream in channel.streams if wanted(stream)]
            moves_rest = streams or channel in followers or any(map(wanted, siblings.get(channel, ())))
            if (moves_rest or wanted(PAUSE)) and not is_due(due_ms):
                yield Message(due_ms, PAUSE, b"")
            self._now_ms = due_ms
            channel.played = index + 1
            for stream in streams:
                yield Message(due_ms, stream, channel.payloads[index])
            if channel in followers:
                yield from followers[channel](due_ms, index, wanted)

    def _on_tick(self, wanted: Wanted, is_due: IsDue) -> Iterator[Message]:
        if not is_due(self._tick_ms):
            yield Message(self._tick_ms, PAUSE, b"")
        now_ms = self._now_ms = self._tick_ms
        self._tick_ms += self.derived.tick_ms
        yield from self.derived.on_tick(now_ms, wanted)

    # --- REST

    def exchange_info(self) -> list[dict[str, Any]]:
        """The `symbols` rows of exchangeInfo: those that the exchange knows now."""
        now_ms = self._now_ms
        return [
            exchange_info_row(market.encoder, market.life, now_ms)
            for market in self.markets.values()
            if market.life.state(now_ms) is not State.UNLISTED
        ]

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The REST snapshot of the book as played so far; None while the market has no book of that symbol."""
        book = self.markets[symbol].book()
        return None if book is None else book.snapshot(limit, self.kind)

    def agg_trades(
        self, symbol: str, *, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """REST rows, ascending; without id and times the newest `limit`."""
        market = self.markets[symbol]
        return market.aggregate_rows(from_id=from_id, start_ms=start_ms, end_ms=end_ms, limit=limit)

    def trades(self, symbol: str, *, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """REST rows of raw trades, ascending; without id the newest `limit`."""
        return self.markets[symbol].trade_rows(from_id=from_id, limit=limit)

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        zone_ms: int = 0,
    ) -> list[list[Any]]:
        """REST rows of twelve, ascending, the running one last; empty periods flat."""
        market = self.markets[symbol]
        rows = market.klines(
            interval, now_ms=self._now_ms, start_ms=start_ms, end_ms=end_ms, limit=limit, zone_ms=zone_ms
        )
        return [market.encoder.kline_row(interval, kline, zone_ms=zone_ms) for kline in rows]

    def window(self, symbol: str, open_ms: int) -> dict[str, Any]:
        """The REST statistics from a time on until now."""
        market, now_ms = self.markets[symbol], self._now_ms
        statistics = market.statistics(now_ms, open_ms=open_ms) or market.no_statistics(now_ms, open_ms=open_ms)
        return statistics.rolling(market.encoder)

    def average_price(self, symbol: str) -> dict[str, Any]:
        """The REST average price of the last minutes."""
        price, last_ms = self.markets[symbol].average(self._now_ms)
        return {"mins": AVERAGE_MS // MINUTE_MS, "price": price, "closeTime": last_ms}

    def ticker(self, symbol: str) -> dict[str, Any]:
        """The REST 24-hour statistics, all zero before anything has been traded."""
        market = self.markets[symbol]
        statistics = market.statistics(self._now_ms) or market.no_statistics(self._now_ms)
        return statistics.full(market.encoder)

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        """The REST best bid and ask."""
        bid, ask = self.markets[symbol].best()
        row = {"symbol": symbol, "bidPrice": bid[0], "bidQty": bid[1], "askPrice": ask[0], "askQty": ask[1]}
        return row if self.kind == "spot" else row | {"time": self._now_ms}
