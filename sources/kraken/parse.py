"""Parses frames of Kraken into events of the model.

Frames are decoded one by one: the events of one are made while what was decoded is still in the processor's cache.
That is quicker than to decode a poll in one call. Only messages of subscribed streams pass.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import json

from flows.model import (
    DAY_MS,
    BookCheck,
    BookTicker,
    Level,
    LineDelta,
    LineSnapshot,
    MarketEvent,
    RawFrames,
    Rejected,
    StreamNames,
    Ticker,
    Trade,
    TradingStatus,
)
from flows.model.printed import printed
from sources.frames import KEPT_BYTES, UNREADABLE, OfConnections, reason_of, too_long
from sources.kraken import wire
from sources.kraken.instruments import Instruments
from sources.kraken.klines import RunningKlines, kline_of
from sources.kraken.names import TIMEFRAMES, Times, symbol_of_venue
from sources.statuses import MOST_SYMBOLS

VENUE: Final = "kraken"
MOST_BYTES: Final = 4_000_000
"""Longest frame that is parsed, bytes; a book of 1,000 levels a side has 100,000."""
_HEAD: Final = 200
"""Bytes at the begin of a frame that name its instrument."""
_BOOK_DEPTHS: Final = (10, 25, 100, 500, 1_000)


class Parsed(NamedTuple):
    """The parsed frames of a poll."""

    events: list[tuple[str, list[MarketEvent]]]
    """Runs `(symbol, events)`: of one symbol, one type, in the order of arrival."""
    rejected: list[Rejected]
    ignored: int
    """Messages without events: heartbeats, statuses, replies to requests and unknown channels."""
    statuses: tuple[TradingStatus, ...] = ()
    """Statuses of instruments that are new."""
    trades: Sequence[Trade] = ()
    """Of all symbols, in the order of arrival; they are not among the events."""


class KrakenParser:
    """Parses frames. Its state: names of streams, decimals and statuses of instruments, running klines; all of it is
    learnt anew after a restart.
    """

    def __init__(self) -> None:
        self._decode: Callable[[bytes], wire.Message] = json.Decoder(wire.Message).decode
        self._outline = json.Decoder(wire.Outline).decode
        self._times = Times()
        self._instruments = Instruments()
        self._klines = RunningKlines()
        self._said = {"ohlc": 0, "book": 0}
        """Microseconds of the last message of each channel, not the latest: a wrong time ends with the next one."""
        self._traded_at = ""
        """The same of trades, as the venue has written it."""
        self._connections = OfConnections(_Streams)
        self._streams = self._connections.of(None)
        """The streams of the connection that is parsed."""

    def parse(self, frames: RawFrames) -> Parsed:
        """Parses a poll. Never raises for the content of a frame: invalid messages go to `rejected` with a reason."""
        self._streams = self._connections.of(frames.streams)
        runs, rejected, ignored = _Runs(), list[Rejected](), 0
        rows: list[wire.TradeRow] = []
        decode, of_trades = self._decode, wire.TradeMessage
        for payload in frames.payloads:
            try:
                message = decode(payload) if len(payload) <= MOST_BYTES else too_long(payload)
                if type(message) is of_trades:
                    rows += message.data
                    continue
                if rows:  # what follows may need the time of the newest trade
                    self._add_trades(rows, runs, frames, rejected)
                    rows = []
                ignored += self._add(message, runs, frames, rejected)
            except Exception as error:  # noqa: BLE001 - whatever the decoder raises, only this frame is rejected
                reason = self._fault_of(payload, error)
                ignored += not reason
                rejected += [_refused(reason, payload, frames)] if reason else []
        if rows:
            self._add_trades(rows, runs, frames, rejected)
        return Parsed(runs.found, rejected, ignored, tuple(runs.statuses), runs.trades)

    def _fault_of(self, payload: bytes, error: Exception) -> str:
        """Why a frame that gave this error is refused; empty for a reply, and for an unknown channel."""
        if not isinstance(error, UNREADABLE) or len(payload) > MOST_BYTES:
            return reason_of(error)
        try:
            outline = self._outline(payload)
        except Exception as unreadable:  # noqa: BLE001 - whatever the decoder raises
            return reason_of(unreadable)
        if outline.channel in _CHANNELS:
            return reason_of(error)
        if outline.channel or outline.method or outline.error is not msgspec.UNSET:
            return ""
        return reason_of(ValueError("the message says neither its channel nor what it answers"))

    # --- trades ---

    def _add_trades(
        self, rows: list[wire.TradeRow], runs: "_Runs", frames: RawFrames, rejected: list[Rejected]
    ) -> None:
        """Adds the trades of many messages."""
        symbols = self._streams.traded
        try:
            times = self._times.usual_millis([row.timestamp for row in rows])
            # the side is the taker's: where the taker sold, the buyer was the maker
            runs.trades += [
                Trade(symbols[row.symbol], row.trade_id, time, row.price, row.qty, row.side == "sell", time)
                for row, time in zip(rows, times, strict=True)
            ]
            self._traded_at = rows[-1].timestamp
        except (KeyError, ValueError):  # an instrument is new, or a time has another form
            for row in rows:
                self._add_trade(row, runs, frames, rejected)

    def _add_trade(self, row: wire.TradeRow, runs: "_Runs", frames: RawFrames, rejected: list[Rejected]) -> None:
        symbol = self._streams.symbol_of_traded(row.symbol)
        if not symbol:
            self._note_foreign(row.symbol, "trade", row, frames, rejected)
            return
        try:
            time = self._times.micros(row.timestamp) // 1_000
        except ValueError as error:
            payload = json.encode(row)[:KEPT_BYTES]
            rejected.append(Rejected(VENUE, reason_of(error), payload, frames.received_ns, symbol=symbol, kind="trade"))
            return
        runs.trades.append(Trade(symbol, row.trade_id, time, row.price, row.qty, row.side == "sell", time))
        self._traded_at = row.timestamp

    # --- messages ---

    def _add(self, message: wire.Message, runs: "_Runs", frames: RawFrames, rejected: list[Rejected]) -> int:
        """Adds the events of a message without trades; returns whether it has none by its nature."""
        if isinstance(message, wire.BookMessage):
            self._add_books(message, runs, frames, rejected)
        elif isinstance(message, wire.OhlcMessage):
            self._add_klines(message, runs, frames, rejected)
        elif isinstance(message, wire.TickerMessage):
            for ticker in message.data:
                self._add_ticker(ticker, runs, frames, rejected)
        else:
            self._add_statuses(message, runs, frames)  # type: ignore[arg-type]
            return 1
        return 0

    def _add_statuses(
        self,
        message: wire.HeartbeatMessage | wire.StatusMessage | wire.InstrumentMessage,
        runs: "_Runs",
        frames: RawFrames,
    ) -> None:
        if isinstance(message, wire.HeartbeatMessage):
            return
        names = frames.streams.subscribed if frames.streams is not None else ()
        carried = {name.partition("@")[0] for name in names}
        if isinstance(message, wire.InstrumentMessage):
            runs.statuses += self._instruments.take(message.data.pairs, carried)
            return
        for row in message.data:
            runs.statuses += self._instruments.take_system(row.system, carried)

    def _add_books(self, message: wire.BookMessage, runs: "_Runs", frames: RawFrames, rejected: list[Rejected]) -> None:
        for row in message.data:
            depth = self._depth_of(row.symbol, frames)
            if depth is None:
                self._note_foreign(row.symbol, "depth", row, frames, rejected)
                continue
            symbol = symbol_of_venue(row.symbol)
            runs.add(symbol, self._book(symbol, row, depth, is_snapshot=message.type == "snapshot"))

    def _add_klines(
        self, message: wire.OhlcMessage, runs: "_Runs", frames: RawFrames, rejected: list[Rejected]
    ) -> None:
        micros = self._said["ohlc"] = self._times.micros(message.timestamp)
        rows = message.data
        if message.type == "snapshot":  # oldest first: only the newest is running
            rows = [*{(row.symbol, row.interval): row for row in rows}.values()]
        for row in rows:
            timeframe = TIMEFRAMES.get(row.interval, "")
            kind = f"kline_{timeframe}"
            if not self._carries(row.symbol, kind):
                self._note_foreign(row.symbol, kind, row, frames, rejected)
                continue
            begin = self._times.micros(row.interval_begin) // 1_000
            kline = kline_of(row, symbol_of_venue(row.symbol), timeframe, begin, event_time=micros // 1_000)
            for known in self._klines.take(kline):
                runs.add(known.symbol, known)

    def _add_ticker(self, row: wire.TickerRow, runs: "_Runs", frames: RawFrames, rejected: list[Rejected]) -> None:
        if not self._carries(row.symbol, "ticker"):
            self._note_foreign(row.symbol, "ticker", row, frames, rejected)
            return
        micros = self._times.micros(row.timestamp) if row.timestamp else self._last_said()
        if not micros:
            return  # nothing has said yet what time it is at the venue
        symbol, time = symbol_of_venue(row.symbol), micros // 1_000
        runs.add(symbol, _ticker(row, symbol, time))
        if self._streams.names.get(f"{symbol}@ticker", "").endswith("@bbo"):
            bid, ask = (row.bid, row.bid_qty), (row.ask, row.ask_qty)
            runs.add(symbol, BookTicker(symbol, micros, *bid, *ask, event_time=time))

    def _last_said(self) -> int:
        """The newest of these times, microseconds UTC; 0 before the first message."""
        traded = self._times.micros(self._traded_at) if self._traded_at else 0
        return max(traded, *self._said.values())

    # --- books ---

    def _book(self, symbol: str, row: wire.BookRow, depth: int, *, is_snapshot: bool) -> LineDelta | LineSnapshot:
        micros = self._times.micros(row.timestamp) if row.timestamp else 0
        if micros:
            self._said["book"] = micros
        time = micros // 1_000
        bids = [(_text(level.price), _text(level.qty)) for level in row.bids]
        asks = [(_text(level.price), _text(level.qty)) for level in row.asks]
        decimals = self._instruments.decimals_of(symbol)
        check = BookCheck(row.checksum, _digits(bids, decimals), _digits(asks, decimals))
        if is_snapshot:
            depth = depth or _depth_for(max(len(bids), len(asks)))
            return LineSnapshot(symbol, micros, _levels(bids), _levels(asks), time, depth, check)
        return LineDelta(symbol, time, micros, micros, _levels(bids), _levels(asks), check=check)

    # --- streams ---

    def _carries(self, name: str, kind: str) -> bool:
        return self._streams.carry(symbol_of_venue(name), kind)

    def _depth_of(self, name: str, frames: RawFrames) -> int | None:
        """Levels a side of a subscribed book, 0 where that is not known; None for one that is not subscribed."""
        if frames.streams is None:
            return 0
        found = self._streams.names.get(f"{symbol_of_venue(name)}@depth")
        return None if found is None else int(found.rpartition("@")[2])

    def _note_foreign(self, name: str, kind: str, row: Any, frames: RawFrames, rejected: list[Rejected]) -> None:
        """Refuses a message of a stream without a subscription, unless that has just ended."""
        stream = f"{symbol_of_venue(name)}@{kind}"
        retired = frames.streams.retired if frames.streams is not None else ()
        if not any(old == stream or old.startswith(f"{stream}@") for old in retired):
            reason = "messages of a stream without a subscription"
            rejected.append(Rejected(VENUE, reason, json.encode(row)[:KEPT_BYTES], frames.received_ns))


_Texts: TypeAlias = list[tuple[str, str]]
"""Prices and quantities as they were printed."""
_CHANNELS: Final = frozenset(member.__struct_config__.tag for member in wire.Message.__args__)


class _Streams:
    """The streams of a connection."""

    def __init__(self, streams: StreamNames | None) -> None:
        self._are_any = streams is None
        names = streams.subscribed if streams is not None else ()
        self.names = {"@".join(name.split("@")[:2]): name for name in names}
        """By `symbol@kind` the whole names."""
        self.traded: dict[str, str] = {}
        """Cache: our symbols of instruments with trades that have come."""

    def carry(self, symbol: str, kind: str) -> bool:
        """Whether there is such a stream."""
        return self._are_any or f"{symbol}@{kind}" in self.names

    def symbol_of_traded(self, name: str) -> str:
        """Our symbol of an instrument with a subscription to trades; empty for any other."""
        symbol = symbol_of_venue(name)
        if not self.carry(symbol, "trade"):
            return ""
        if len(self.traded) < MOST_SYMBOLS:
            self.traded[name] = symbol
        return symbol


class _Runs:
    """Events in the order of arrival, those of one symbol and type together as long as nothing else of it comes."""

    def __init__(self) -> None:
        self.found: list[tuple[str, list[MarketEvent]]] = []
        self.trades: list[Trade] = []
        """Of all symbols."""
        self.statuses: list[TradingStatus] = []
        self._open: dict[tuple[str, type], list[MarketEvent]] = {}

    def begun(self, symbol: str) -> list[MarketEvent]:
        """A new run."""
        run: list[MarketEvent] = []
        self.found.append((symbol, run))
        return run

    def add(self, symbol: str, event: MarketEvent) -> None:
        kind = type(event)
        run = self._open.get((symbol, kind))
        if run is None:
            if kind is LineSnapshot:  # changes before it are of the book before
                self._open.pop((symbol, LineDelta), None)
            elif kind is LineDelta:
                self._open.pop((symbol, LineSnapshot), None)
            run = self._open[symbol, kind] = self.begun(symbol)
        run.append(event)


def _text(raw: msgspec.Raw) -> str:
    """A number as it was printed, without an exponent; `ValueError` for anything else, and for too many digits."""
    text = bytes(raw).decode()
    if "e" in text or "E" in text:
        number = Decimal(text)
        text = f"{number:f}" if abs(number.adjusted()) < wire.MOST_DIGITS else ""
    if not text.replace(".", "", 1).isdigit() or not text.isascii() or len(text) > wire.MOST_DIGITS:
        raise ValueError("a price or quantity that is no plain number")
    return text


def _levels(side: _Texts) -> list[Level]:
    levels = [(float(price), float(quantity)) for price, quantity in side]
    if any(not 0 < price < wire.MOST_PRICE or quantity >= wire.MOST_QUANTITY for price, quantity in levels):
        raise ValueError("a price or quantity out of bounds")
    return levels


def _digits(side: _Texts, decimals: tuple[int, int]) -> list[str]:
    """What the checksum counts of each level."""
    prices, quantities = decimals
    return [_digits_of(price, prices) + _digits_of(quantity, quantities) for price, quantity in side]


def _digits_of(text: str, decimals: int) -> str:
    whole, _, fraction = text.partition(".")
    if len(fraction) < decimals:
        fraction = fraction.ljust(decimals, "0")
    return (whole + fraction).lstrip("0")


def _depth_for(levels: int) -> int:
    """The depth of a book of which the snapshot has so many levels, where nothing else says it."""
    return next((depth for depth in _BOOK_DEPTHS if depth >= levels), _BOOK_DEPTHS[-1])


def _ticker(row: wire.TickerRow, symbol: str, time: int) -> Ticker:
    return Ticker(
        symbol=symbol,
        price_change=row.change,
        price_change_percent=row.change_pct,
        weighted_average=row.vwap,
        last_price=row.last,
        open=max(0.0, printed(row.last - row.change)),
        high=row.high,
        low=row.low,
        volume=row.volume,
        quote_volume=row.vwap * row.volume,
        trades=-1,
        event_time=time,
        open_time=time - DAY_MS,
        close_time=time,
    )


def _refused(reason: str, payload: bytes, frames: RawFrames) -> Rejected:
    """A rejected frame; of trades it says so, as the sequence may lack some now."""
    symbol, kind = "", ""
    if payload.startswith(b'{"channel":"trade"'):
        name = payload[:_HEAD].partition(b'"symbol":"')[2].partition(b'"')[0].decode("utf-8", "replace")
        names = frames.streams.subscribed if frames.streams is not None else ()
        if f"{symbol_of_venue(name)}@trade" in names:
            symbol, kind = symbol_of_venue(name), "trade"
    return Rejected(VENUE, reason, payload[:KEPT_BYTES], frames.received_ns, symbol=symbol, kind=kind)
