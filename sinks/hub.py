"""Who hears what, in which order, and what a slow listener loses. No sockets here, and time is an argument.

Every message gets the next `seq`, whoever hears it. Prices and forming candles are paced: the newest wins, and what
was held back goes out when its turn comes. The ring keeps the last messages for clients that come back.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from msgspec import Struct

from flows.model import Candle, FeedStatus, Incident, MarketData, Publishable, Ticker, TradeBatch
from sinks.messages import DEFAULT_CHANNELS, Channel, Format, body_of, frame_of, iso

FORMING_MS = 100
"""Least time between two forming versions of a candle."""
RING_TRADES = 50_000
"""Trades that the ring's messages hold at most; then the oldest messages go, as when there are too many messages."""
GIVE_UP_FACTOR = 4
"""A client that has lost so many times what its queue holds is let go."""


class Filter(Struct, frozen=True):
    """What a client wants; None means all."""

    channels: frozenset[str] = DEFAULT_CHANNELS
    symbols: frozenset[str] | None = None
    timeframes: frozenset[str] | None = None

    def wants(self, entry: "Entry") -> bool:
        """Whether a message is for this client. News of the whole venue has no symbol and passes any choice of them."""
        return (
            entry.channel in self.channels
            and (self.symbols is None or not entry.symbol or entry.symbol in self.symbols)
            and (self.timeframes is None or not entry.timeframe or entry.timeframe in self.timeframes)
        )


class Entry:
    """One message of the hub. It is encoded when the first client of a format hears it, and never again."""

    __slots__ = ("_frames", "channel", "merge_key", "news", "price", "seq", "symbol", "time_ms", "timeframe")

    def __init__(
        self, seq: int, channel: Channel, news: Publishable, *, time_ms: int, price: MarketData | None = None
    ) -> None:
        self.seq = seq
        self.channel = channel
        self.news = news
        self.price = price
        self.time_ms = time_ms
        self.symbol: str = getattr(news, "symbol", "")
        self.timeframe: str = getattr(news, "timeframe", "")
        self.merge_key = _merge_key(channel, news)
        self._frames: dict[str, bytes] = {}

    def message(self) -> dict[str, Any]:
        """The whole message."""
        body = body_of(self.channel, self.news, self.price)
        return {"type": self.channel, "data": body, "timestamp": iso(self.time_ms), "seq": self.seq}

    def frame(self, form: Format) -> bytes:
        """The message as a finished frame."""
        frame = self._frames.get(form)
        if frame is None:
            frame = self._frames[form] = frame_of(self.message(), form)
        return frame


def _merge_key(channel: Channel, news: Publishable) -> Hashable | None:
    """Messages with the same key may be merged for a client that is slow: the newest says it all. None: never."""
    match news:
        case MarketData() | Ticker():
            return channel, news.symbol
        case Candle(is_closed=False):
            return channel, news.symbol, news.timeframe
        case FeedStatus():
            return channel, news.line
        case _:
            return None


class _Paced(Struct):
    """The pace of one price or forming candle."""

    sent_ms: int
    held: Publishable | None = None


class Hub:
    """Takes news, gives messages in the order of their `seq`.

    `first_seq` must be higher than whatever an earlier hub can have given, so that nobody resumes from another's
    number.
    """

    def __init__(self, *, rate: int, ring: int, first_seq: int) -> None:
        self._price_ms = max(1, 1_000 // rate)
        self._ring: deque[Entry] = deque()
        self._ring_size = ring
        self._ring_trades = 0
        self._next_seq = first_seq
        self._paced: dict[Hashable, _Paced] = {}
        self._held: dict[Hashable, int] = {}
        self._prices: dict[str, MarketData] = {}
        self._current: dict[Hashable, Entry] = {}

    @property
    def last_seq(self) -> int:
        """The `seq` of the newest message."""
        return self._next_seq - 1

    def publish(self, items: Iterable[Publishable], *, now_ms: int, wall_ms: int) -> list[Entry]:
        """The messages that these news make now. `now_ms` is monotonic and paces, `wall_ms` only stamps."""
        out: list[Entry] = []
        for item in items:
            match item:
                case MarketData():
                    self._prices[item.symbol] = item
                    self._pace(("MarketData", item.symbol), item, self._price_ms, now_ms, wall_ms, out)
                case Candle(is_closed=True):
                    self._held.pop(("Candle", item.symbol, item.timeframe), None)
                    self._emit("Candle", item, wall_ms, out)
                    self._emit("ChartUpdate", item, wall_ms, out)
                case Candle():
                    self._pace(("Candle", item.symbol, item.timeframe), item, FORMING_MS, now_ms, wall_ms, out)
                case TradeBatch():
                    self._emit("Trade", item, wall_ms, out)
                case Ticker():
                    self._emit("Ticker", item, wall_ms, out)
                case FeedStatus():
                    self._emit("Status", item, wall_ms, out)
                case Incident():
                    self._emit("Incident", item, wall_ms, out)
        return out

    def release(self, *, now_ms: int, wall_ms: int) -> list[Entry]:
        """The messages that were held back and whose turn has come."""
        out: list[Entry] = []
        for key in [key for key, due in self._held.items() if due <= now_ms]:
            del self._held[key]
            paced = self._paced[key]
            if paced.held is not None:
                paced.sent_ms = now_ms
                news, paced.held = paced.held, None
                self._emit(_channel_of(news), news, wall_ms, out)
        return out

    def due_in(self, now_ms: int) -> int | None:
        """Milliseconds until `release` has something; None when nothing is held back."""
        return max(0, min(self._held.values()) - now_ms) if self._held else None

    def since(self, seq: int) -> list[Entry] | None:
        """The messages after `seq`; None when some of them are gone, or the number was never given by this hub."""
        if seq == self.last_seq:
            return []
        if not self._ring or not self._ring[0].seq - 1 <= seq < self.last_seq:
            return None
        return [entry for entry in self._ring if entry.seq > seq]

    def snapshot(self, wanted: Filter) -> list[Entry]:
        """The newest message of everything that has a current state, oldest first."""
        return sorted(filter(wanted.wants, self._current.values()), key=lambda entry: entry.seq)

    def _pace(
        self, key: Hashable, news: Publishable, interval_ms: int, now_ms: int, wall_ms: int, out: list[Entry]
    ) -> None:
        paced = self._paced.get(key)
        if paced is None:
            paced = self._paced[key] = _Paced(now_ms - interval_ms)
        due = paced.sent_ms + interval_ms
        if due <= now_ms:
            paced.sent_ms, paced.held = now_ms, None
            self._held.pop(key, None)
            self._emit(_channel_of(news), news, wall_ms, out)
        else:
            paced.held = news
            self._held[key] = due

    def _emit(self, channel: Channel, news: Publishable, wall_ms: int, out: list[Entry]) -> None:
        price = self._prices.get(news.symbol) if channel == "ChartUpdate" and isinstance(news, Candle) else None
        entry = Entry(self._next_seq, channel, news, time_ms=wall_ms, price=price)
        self._next_seq += 1
        self._remember(entry)
        if entry.merge_key is not None or isinstance(news, Candle):
            self._current[_state_key(entry)] = entry
        out.append(entry)

    def _remember(self, entry: Entry) -> None:
        self._ring.append(entry)
        self._ring_trades += _trades_in(entry)
        while len(self._ring) > self._ring_size or self._ring_trades > RING_TRADES:
            self._ring_trades -= _trades_in(self._ring.popleft())


def _trades_in(entry: Entry) -> int:
    return len(entry.news.trades) if isinstance(entry.news, TradeBatch) else 0


def _channel_of(news: Publishable) -> Channel:
    return "MarketData" if isinstance(news, MarketData) else "Candle"


def _state_key(entry: Entry) -> Hashable:
    """A closed candle and the forming one after it are both current."""
    closed = isinstance(entry.news, Candle) and entry.news.is_closed
    return entry.channel, entry.symbol, entry.timeframe, closed, getattr(entry.news, "line", "")


class Backlog:
    """What waits for a client that does not keep up: at most `capacity` messages.

    First what may be merged is merged: of prices, tickers and forming candles the newest stays, in its place by
    `seq`. Then the oldest message is dropped and counted, and the client will be told. When it has lost
    `GIVE_UP_FACTOR` times the capacity without reading, `hopeless` says so.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: OrderedDict[Hashable, Entry] = OrderedDict()
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def hopeless(self) -> bool:
        """Whether the client should be let go."""
        return self.lost >= self._capacity * GIVE_UP_FACTOR

    def put(self, entry: Entry) -> None:
        """Adds a message."""
        key = entry.merge_key if entry.merge_key is not None else entry.seq
        self._waiting.pop(key, None)
        self._waiting[key] = entry
        if len(self._waiting) > self._capacity:
            self._waiting.popitem(last=False)
            self.lost += 1

    def take(self) -> tuple[int, Iterator[Entry]]:
        """How many were lost since the last call, and everything that waits, in order."""
        lost, waiting = self.lost, self._waiting
        self.lost, self._waiting = 0, OrderedDict()
        return lost, iter(waiting.values())
