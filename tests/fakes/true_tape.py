"""A synthetic market as one polls it: its true frames in order, and what its REST side answers at each moment."""

from bisect import bisect_left, bisect_right
from itertools import takewhile
from typing import Any, NamedTuple

import msgspec

from flows.model import BookSnapshot, Trade
from flows.queries import BookQuery, LastTradeQuery, Query, QueryError, TradesQuery
from sources.binance.envelope import TypedMessage
from sources.replay.market.market import MarketKind, Message
from sources.replay.protocol.frames import enveloped
from sources.replay.synthetic.market import SyntheticMarket

BEGIN_MS = 1_767_225_600_000
TIMEFRAME = "1m"
_TYPED = msgspec.json.Decoder(TypedMessage, strict=False)
_CHANNELS = ("kline_1m", "kline_5m", "ticker", "miniTicker", "bookTicker", "depth@100ms")
STREAMS = {
    "BTCUSDT": tuple(f"btcusdt@{channel}" for channel in ("aggTrade", *_CHANNELS)),
    "ETHUSDT": tuple(f"ethusdt@{channel}" for channel in ("trade", *_CHANNELS)),
}
"""What is subscribed: of one symbol aggregates, of the other one single fills."""
VENUES: dict[str, MarketKind] = {"binance": "spot", "binance-usdm": "usdm"}
_PUBLIC = ("depth", "bookTicker")


class TrueFrame(NamedTuple):
    """One true message."""

    due_ms: int
    line: str
    symbol: str
    channel: str
    message: Message
    frame: bytes
    """The message in its envelope."""


class TrueTape:
    """So many seconds of a market with two symbols."""

    def __init__(self, venue: str, *, seconds: int, trades_per_s: float = 15.0, seed: int = 1) -> None:
        self.venue = venue
        self.frames: list[TrueFrame] = []
        wanted = frozenset(name for names in STREAMS.values() for name in names)
        end_ms = BEGIN_MS + seconds * 1_000
        market = SyntheticMarket(VENUES[venue], tuple(STREAMS), seed=seed, start_ms=BEGIN_MS, trades_per_s=trades_per_s)
        for message in takewhile(lambda message: message.due_ms < end_ms, market.play(wanted.__contains__)):
            self.frames.append(self._frame(message))
        self._trades = {symbol: self._trades_of(symbol) for symbol in STREAMS}
        self.rewind()

    def rewind(self) -> None:
        """Nothing has been played."""
        self._books: dict[str, dict[str, dict[str, str]]] = {symbol: {"b": {}, "a": {}} for symbol in STREAMS}
        self._update_ids = dict.fromkeys(STREAMS, 0)

    def _frame(self, message: Message) -> TrueFrame:
        name, _, channel = message.stream.partition("@")
        is_public = channel.startswith(_PUBLIC) or (channel == "trade" and self.venue == "binance-usdm")
        frame = enveloped(message, message.data)
        return TrueFrame(message.due_ms, "public" if is_public else "market", name.upper(), channel, message, frame)

    def _trades_of(self, symbol: str) -> list[Trade]:
        decoded = [
            _TYPED.decode(frame.message.data)
            for frame in self.frames
            if frame.symbol == symbol and frame.channel in ("aggTrade", "trade")
        ]
        return [message for message in decoded if isinstance(message, Trade)]

    # --- what REST says ---

    def played(self, frame: TrueFrame) -> None:
        """The market has come so far."""
        if not frame.channel.startswith("depth"):
            return
        body = msgspec.json.decode(frame.message.data)
        book = self._books[frame.symbol]
        for side in ("b", "a"):
            for price, quantity in body[side]:
                if float(quantity):
                    book[side][price] = quantity
                else:
                    book[side].pop(price, None)
        self._update_ids[frame.symbol] = body["u"]

    def answer(self, query: Query, now_ms: int) -> Any:
        """The answer to a query at a moment; a `QueryError` where this market has none."""
        match query:
            case TradesQuery():
                trades = self._trades[query.symbol]
                begin = bisect_left(trades, query.first_id, key=lambda trade: trade.id)
                end = bisect_right(trades, query.last_id, key=lambda trade: trade.id)
                return [trade for trade in trades[begin:end][:10_000] if trade.time <= now_ms]
            case BookQuery():
                return self.book(query.symbol, query.levels)
            case LastTradeQuery():
                return None
        return QueryError("not here", lasting=True)

    def book(self, symbol: str, levels: int) -> BookSnapshot:
        """The best levels of each side now."""
        bids, asks = (
            sorted(((float(price), float(quantity)) for price, quantity in book.items()), reverse=side == "b")
            for side, book in self._books[symbol].items()
        )
        return BookSnapshot(symbol, self._update_ids[symbol], bids[:levels], asks[:levels])

    def closed_minutes(self, symbol: str, begin_ms: int) -> dict[int, tuple[tuple[float, ...], int]]:
        """Open, high, low, close and number of trades of the market's own minutes that begin at `begin_ms` or later, by
        open time; `ValueError` when there are none.
        """
        found = {}
        for frame in self.frames:
            if frame.symbol == symbol and frame.channel == f"kline_{TIMEFRAME}":
                kline = msgspec.json.decode(frame.message.data)["k"]
                if kline["x"] and kline["t"] >= begin_ms:
                    found[kline["t"]] = (tuple(float(kline[name]) for name in "ohlc"), kline["n"])
        if not found:
            raise ValueError("the tape has no whole minute there")
        return found
