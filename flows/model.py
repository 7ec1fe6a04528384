"""The vocabulary: what travels through the system, whatever venue it came from.

Times are integer milliseconds UTC as the exchange gives them, prices are in the quote currency for one unit of the base
currency, quantities and volumes in the base currency, quote volumes in the quote currency. Ids are the exchange's own.
Everything is immutable, so one object may be shared by every consumer.
"""

import re
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

TRADE_KINDS = frozenset(("aggTrade", "trade"))
"""Kinds of streams that bring trades, in the words of the setting `feed.streams`. Their ids show whether any trade is
missing.
"""
MARKET_FILL = "MARKET"
"""The only kind of fill that moves candles; futures also report `INSURANCE_FUND`, `ADL` and `NA`, far off the
market.
"""

WITHDRAWN_FILL = "WITHDRAWN"
"""Mark of a trade that the exchange took back: its id was given, and stands for no trade."""

DAY_MS = 86_400_000
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
_TIMEFRAME = re.compile(r"([1-9]\d{0,2})([smhd])")


def timeframe_ms(timeframe: str) -> int:
    """Length in milliseconds of a timeframe such as `1m`, `4h` or `1d`; `ValueError` when it is not one, or does not
    divide the UTC day evenly (its periods would not be aligned to UTC).
    """
    match = _TIMEFRAME.fullmatch(timeframe)
    length = int(match[1]) * _UNITS_MS[match[2]] if match else 0
    if not length or DAY_MS % length:
        raise ValueError(
            f"{timeframe!r} is no timeframe: write a number and s, m, h or d that divides a day, as in 15m"
        )
    return length


class Instrument(NamedTuple):
    """What is traded, and where. `symbol` is the venue's own name, upper case, without separator."""

    venue: str
    symbol: str

    @property
    def key(self) -> str:
        """The routing key, `venue:symbol`."""
        return f"{self.venue}:{self.symbol}"

    @classmethod
    def of(cls, key: str) -> "Instrument":
        """The instrument of a routing key."""
        venue, _, symbol = key.partition(":")
        return cls(venue, symbol)


# --- what a source carries: frames it does not understand, and what happened to the line between them ---------------


class StreamNames(Struct, frozen=True):
    """What may come by a connection, in the venue's names of its streams."""

    subscribed: frozenset[str]
    retired: frozenset[str] = frozenset()
    """Unsubscribed recently: messages of these are ignored, not refused."""


class RawFrames(Struct, frozen=True, gc=False):
    """Messages of one line, not yet understood, in the order of arrival: all that was there at one moment.

    They travel together because the engine costs by item, and decoding by call.
    """

    line: str
    """Which of the venue's lines they came by, e.g. `market` or `public`."""
    payloads: list[bytes]
    received_ns: int
    """Local wall clock when they were handed on, ns since the epoch: for logs, never for decisions."""
    streams: StreamNames | None = None
    """The streams that the connection carries; messages of any other are refused. None: every stream is taken, as of a
    recording.
    """


class Connected(Struct, frozen=True):
    """A line is open; nothing is subscribed yet."""

    line: str
    symbols: tuple[str, ...]
    url: str


class Subscribed(Struct, frozen=True):
    """The venue confirmed every stream of a line: from here on, silence means no news."""

    line: str
    symbols: tuple[str, ...]
    streams: tuple[str, ...]


class Disconnected(Struct, frozen=True):
    """A line is gone. What its instruments did until the next `Subscribed` may be missing."""

    line: str
    symbols: tuple[str, ...]
    reason: str
    failures: int = 1
    """Failures in a row, this one included."""
    lasting: bool = False
    """So many have failed that it is an outage; the attempts go on."""


class Removed(Struct, frozen=True):
    """A line no longer carries some kinds of streams of these instruments: nothing of them comes behind this."""

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]
    """What has ended, in the words of the setting `feed.streams`, klines by timeframe as in `kline_1m`."""
    is_gone: bool
    """Nothing else is followed of them either, on whatever line."""


class Silent(Struct, frozen=True):
    """Streams that have said nothing for longer than they usually pause, while their connection is up. Sent once, until
    a `Speaking` names them.
    """

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]
    """The silent streams of each of these symbols, in the words of the setting `feed.streams`, klines by timeframe."""
    for_ms: int
    """How long ago the newest message of them came, local ms."""
    whole_line: bool = False
    """Nothing at all comes by this connection."""


class Speaking(Struct, frozen=True):
    """Streams that were `Silent` are heard again."""

    line: str
    symbols: tuple[str, ...]
    kinds: tuple[str, ...]


class TradesRefused(Struct, frozen=True):
    """Trades of an instrument were refused before they reached its sequence: there may be a hole that nothing behind it
    shows. Made by the step `validate`, not by a connection.
    """


class TradingStatus(Struct, frozen=True):
    """The venue's list of instruments says something new of these symbols. Injected by the process, not by a
    connection.
    """

    symbols: tuple[str, ...]
    status: str
    """The venue's word, `TRADING` when they trade; empty when they are not listed."""

    @property
    def is_trading(self) -> bool:
        """Whether trades are to be expected."""
        return self.status == "TRADING"


class Behind(Struct, frozen=True):
    """The flow is so far behind that a line had to wait for it."""

    line: str
    symbols: tuple[str, ...]
    frames: int
    """Messages that wait."""


class Pulse(Struct, frozen=True):
    """A source has nothing more to hand on for the moment: what was held back to make larger batches may go."""

    final: bool = False
    """Nothing will ever come again: everything must go."""


class RefreshWanted(Struct, frozen=True):
    """Somebody wants the past of an instrument fetched again, at once. No line says so: it comes from the operator's
    side, and takes the same way.
    """

    symbols: tuple[str, ...]
    request: str
    """Names the request in what is said of it later."""
    timeframes: tuple[str, ...] = ()
    """Default: all."""
    start: int = 0
    """With `end` the span of open times `[start, end)` that is wanted, ms UTC, as in `Work`; default the newest."""
    end: int = 0
    is_stored: bool = False
    """What is stored of the span is to be told again, and nothing is fetched."""


Vouched: TypeAlias = Literal["all", "content", ""]
"""`all`: by the exchange, or by its checksum. `content`: it is as it was packed, which may have been a part. Empty: not
at all.
"""


class Whole(Struct, frozen=True):
    """The trades of an instrument in `[begin, end)`, ms UTC, are all known: told before the first of them, and again
    when it `is_over`.
    """

    symbols: tuple[str, ...]
    begin: int
    end: int
    name: str
    """Where they come from."""
    has_trades: bool = True
    """False: only klines come from there."""
    is_over: bool = False
    vouched: Vouched = "all"
    """How sure it is that nothing is missing at its begin and at its end; in between the ids say so."""
    goes_on: bool = False
    """What follows these trades is read next, so that its first id tells whether they were all."""


LineEvent: TypeAlias = (
    Connected | Subscribed | Disconnected | Removed | Silent | Speaking | TradingStatus | Behind | RefreshWanted
)


# --- what the venues say, in one vocabulary --------------------------------------------------------------------------


class Trade(Struct, frozen=True, gc=False):
    """One trade. Ids rise by one from trade to trade of an instrument, so a hole in them is a missing trade."""

    symbol: str
    id: int
    time: int
    price: float
    quantity: float
    buyer_is_maker: bool
    """True: the taker (aggressor) sold."""
    event_time: int
    fill: str = MARKET_FILL

    @property
    def first_id(self) -> int:
        """First raw trade id it covers: its own."""
        return self.id

    @property
    def last_id(self) -> int:
        """Last raw trade id it covers: its own."""
        return self.id


class AggregateTrade(Trade, frozen=True, gc=False, kw_only=True):
    """The fills of one taker order at one price, reported as one trade. `id` counts aggregates, not raw trades."""

    first_id: int
    last_id: int


class Kline(Struct, frozen=True, gc=False):
    """The exchange's own candle, running or closed."""

    symbol: str
    timeframe: str
    event_time: int
    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_buy_volume: float
    taker_buy_quote_volume: float
    first_id: int
    """Raw trade ids; -1 when the period has no trade."""
    last_id: int
    is_closed: bool
    close_time: int = 0
    """Last millisecond of its period; 0 where the source does not say."""


class Ticker(Struct, frozen=True, gc=False):
    """The exchange's own statistics of the last 24 hours (rolling)."""

    symbol: str
    event_time: int
    price_change: float
    price_change_percent: float
    weighted_average: float
    last_price: float
    open: float
    high: float
    low: float
    volume: float
    quote_volume: float
    open_time: int
    close_time: int
    trades: int
    last_id: int = -1
    """Raw trade id of the newest trade in it; -1 where the venue does not say."""


class MiniTicker(Struct, frozen=True, gc=False):
    """The short form of `Ticker`."""

    symbol: str
    event_time: int
    close: float
    open: float
    high: float
    low: float
    volume: float
    quote_volume: float


class BookTicker(Struct, frozen=True, gc=False):
    """Best bid and ask. An empty side has price and quantity 0.0."""

    symbol: str
    update_id: int
    bid_price: float
    bid_quantity: float
    ask_price: float
    ask_quantity: float
    event_time: int = 0
    """0 where the venue does not say (Binance spot)."""


Level: TypeAlias = tuple[float, float]
"""Price and quantity. In a delta the quantity is absolute, and 0.0 removes the level."""


class BookDelta(Struct, frozen=True, gc=False):
    """Changes of an order book between two update ids, both inclusive."""

    symbol: str
    event_time: int
    first_update_id: int
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    previous_update_id: int | None = None
    """The `last_update_id` of the delta before it, where the venue says so (USD-M)."""


class BookSnapshot(Struct, frozen=True, gc=False):
    """The best levels of an order book at one update id, best first."""

    symbol: str
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    event_time: int = 0


MarketEvent: TypeAlias = Trade | Kline | Ticker | MiniTicker | BookTicker | BookDelta | BookSnapshot


# --- what the machines conclude --------------------------------------------------------------------------------------


class Gap(Struct, frozen=True):
    """Trades that were issued and did not arrive; ids inclusive, times of the trades on either side of the hole."""

    venue: str
    symbol: str
    first_id: int
    last_id: int
    after_time: int
    before_time: int


class TradeBatch(Struct, frozen=True, gc=False):
    """Trades of one instrument in the order of their ids, without a hole and without a duplicate.

    `late` batches fill a hole that was given up: their ids are lower than ids that were handed on before. Or they bring
    what the venue's REST side says of trades that were handed on and are wrong: those are `replaced`.
    """

    venue: str
    symbol: str
    trades: list[Trade]
    late: bool = False
    begin: int = 0
    """With `end` the least and the largest of their times, ms UTC; 0 where nobody has looked."""
    end: int = 0
    replaced: tuple[Trade, ...] = ()
    """Trades of the same ids that are to be forgotten. No candle forgets them: a `Gap` says that it is wrong."""


CandleStatus: TypeAlias = Literal["forming", "final", "repaired", "venue", "partial", "unproven"]
"""`final`: closed, complete by id. `repaired`: closed, trades refilled. `venue`: the exchange's kline, as our trades
are incomplete. `partial`: known to lack trades. `unproven`: closed by a source that says nothing about its end, or in
doubt because a longer candle around it was refuted."""
COMPLETE: tuple[CandleStatus, ...] = ("final", "repaired")
"""Statuses that claim every trade."""
BELIEVED: tuple[CandleStatus, ...] = (*COMPLETE, "unproven")
"""Statuses of candles of which no trade is known to be missing."""


Proof: TypeAlias = Literal["", "equal", "ours wrong", "theirs wrong", "not comparable"]
"""What comparing a closed candle with the exchange's own kline showed; empty while that has not arrived."""


class Candle(Struct, frozen=True, gc=False):
    """Open, high, low, close and volumes of one instrument over `[open_time, open_time + timeframe)`."""

    venue: str
    symbol: str
    timeframe: str
    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_buy_volume: float
    taker_buy_quote_volume: float
    first_id: int
    """Raw trade ids; -1 when the period has no trade, or the exchange did not tell them."""
    last_id: int
    is_closed: bool
    status: CandleStatus
    revision: int = 0
    """0 for the first closed version, one more for every amendment."""
    event_time: int = 0
    """Exchange time of the news that made this version."""
    proof: Proof = ""

    @property
    def close_time(self) -> int:
        """Last millisecond that belongs to it."""
        return self.open_time + timeframe_ms(self.timeframe) - 1


class Recorded(Struct, frozen=True, gc=False):
    """A candle for the store alone: it is of the past, or was published before its proof was known."""

    candle: Candle


class StoreOnlyTrades(Struct, frozen=True, gc=False):
    """Trades for the store alone: they were handed on in an earlier life, and the store has lost them."""

    batch: TradeBatch


class Refreshed(Struct, frozen=True):
    """What became of a `RefreshWanted`."""

    request: str
    report: str
    """For people."""
    failed: bool = False


class MarketData(Struct, frozen=True, gc=False):
    """The price of an instrument and how it moved; the 24-hour figures are None until they are known."""

    venue: str
    symbol: str
    price: float
    time: int
    price_change_24h: float | None = None
    price_change_percent_24h: float | None = None
    volume_24h: float | None = None


class BookView(Struct, frozen=True, gc=False):
    """The best levels of an order book, best first. Unless `synced`, the book is not known to be the exchange's, and
    has no levels.
    """

    venue: str
    symbol: str
    synced: bool
    update_id: int = 0
    event_time: int = 0
    """Exchange time of the newest change in it; 0 where only a snapshot without a time is."""
    bids: list[Level] = []
    asks: list[Level] = []

    @property
    def spread(self) -> float | None:
        """Best ask less best bid, in the quote currency; None when a side is empty."""
        return self.asks[0][0] - self.bids[0][0] if self.bids and self.asks else None

    @property
    def mid(self) -> float | None:
        """Between best bid and best ask; None when a side is empty."""
        return (self.asks[0][0] + self.bids[0][0]) / 2 if self.bids and self.asks else None

    @property
    def imbalance(self) -> float | None:
        """Quantity bid less quantity asked, as a share of both, over the levels shown: 1.0 when nobody sells; None when
        both sides are empty.
        """
        bid, asked = sum(quantity for _, quantity in self.bids), sum(quantity for _, quantity in self.asks)
        return (bid - asked) / (bid + asked) if bid + asked else None


class Stats24h(Struct, frozen=True, gc=False):
    """What an instrument did in the last 24 hours: the running minute, and the 1,440 before it."""

    venue: str
    symbol: str
    time: int
    """Exchange time of the news that made this version, or begin of the minute that began without any."""
    open_time: int
    """Begin of the first minute."""
    open: float
    """Price of the first trade; where there is none, the last price before."""
    high: float
    low: float
    last: float
    volume: float
    quote_volume: float
    change: float
    """`last` less `open`."""
    change_percent: float
    """The same, in percent of `open`."""
    weighted_average: float
    """Quote volume by volume; `last` where nothing was traded."""
    trades: int
    complete: bool
    """No minute is missing, and none lacks trades."""


IncidentKind: TypeAlias = Literal[
    "gap",
    "repair",
    "late",
    "partial",
    "mismatch",
    "history",
    "resync",
    "reject",
    "disconnect",
    "reconnect",
    "silent",
    "stale",
    "feed_down",
    "store_outage",
    "lag",
    "clock",
    "unlisted",
    "retention",
    "error",
]


class Incident(Struct, frozen=True):
    """Something that a user of the data would want to know. `symbol` is empty when it concerns the whole venue."""

    kind: IncidentKind
    venue: str
    symbol: str
    begin: int
    end: int
    cause: str
    outcome: str = ""
    first_id: int = -1
    last_id: int = -1


class Rejected(Struct, frozen=True):
    """Input that was refused: why, and what it was."""

    venue: str
    reason: str
    payload: bytes
    received_ns: int
    count: int = 1
    """So many messages, of which this is one."""


class FeedStatus(Struct, frozen=True):
    """State of one line of a venue, for clients that want to show a light.

    `removed` is no state but the end of something: these symbols are followed no more, on whatever line, and nothing
    that was said of them is the present any longer, until a line is `live` with them again.
    """

    venue: str
    line: str
    state: Literal["connected", "live", "disconnected", "removed"]
    symbols: tuple[str, ...]
    """What the line carries; of `removed`, what has gone."""
    reason: str = ""


class TradeWitness(Struct, frozen=True):
    """Whether the trades of an instrument are known to be complete up to now, by something else than their own stream:
    a kline, a ticker, or REST. Emitted by the sequencer when it changes.
    """

    venue: str
    symbol: str
    is_ahead: bool
    """True: a witness names later trades than those that came. False: a witness agrees that there are none."""
    reason: str = ""


ChannelState: TypeAlias = Literal[
    "live",
    "quiet",
    "silent",
    "behind",
    "cut",
    "connecting",
    "halted",
    "gone",
    "unsynced",
    "not stored",
]
"""How current the data of an instrument is.

`live`: the line is up and confirmed, and data came in time. `quiet`: up and confirmed, nothing happens, and a witness
agrees. `silent`: up, but a witness has moved on or was not heard. `behind`: the flow is later than a bound. `cut`,
`connecting`: the line is down. `halted`, `gone`: the exchange says so. `unsynced`: a book that is not known to be
right. `not stored`: a store does not take it. Whoever does not hear the flow says `unknown`.
"""

FreshnessChannel: TypeAlias = Literal["trades", "klines", "ticker", "book", "best", "store"]
"""What of an instrument has a state: its trades, its klines, its 24-hour ticker, its order book, best bid and ask, and
whether it is stored."""


class ChannelStatus(Struct, frozen=True):
    """The state of one channel of an instrument."""

    channel: FreshnessChannel
    state: ChannelState
    since: int
    """Venue time, ms UTC, when it began."""
    reason: str = ""


class InstrumentStatus(Struct, frozen=True):
    """The state of an instrument: the worst of its channels, and each of them. Published when something changes."""

    venue: str
    symbol: str
    state: ChannelState
    since: int
    """Venue time, ms UTC, when the state began."""
    reason: str = ""
    channels: tuple[ChannelStatus, ...] = ()


class Heartbeat(Struct, frozen=True):
    """The flow is alive: once a second, from its own thread, so that one that hangs is noticed."""

    venue: str
    time: int
    """The venue's time now, ms UTC; 0 as long as it is not known."""
    is_sure: bool = True
    """False while the venue's clock is in doubt."""


Publishable: TypeAlias = (
    MarketData
    | Candle
    | TradeBatch
    | Ticker
    | BookTicker
    | BookView
    | Stats24h
    | Incident
    | FeedStatus
    | InstrumentStatus
    | Heartbeat
)
"""What the broadcast hub takes."""
