"""Parses frames of Coinbase into events of the model.

The fast path decodes all frames of a poll in one call. When one of them is no data (a reply, an unknown type, a
malformed frame, statuses), that poll takes the slow path, frame by frame. Only messages of subscribed streams pass.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

from msgspec import json

from flows.model import (
    DAY_MS,
    Level,
    LineDelta,
    LineSnapshot,
    MarketEvent,
    NewestTrade,
    RawFrames,
    Rejected,
    Ticker,
    Trade,
    TradingStatus,
)
from flows.model.printed import change_of
from sources.coinbase import wire
from sources.coinbase.names import BOOKS_LINE, name_in, stream_name
from sources.frames import KEPT_BYTES, MOST_BYTES, UNREADABLE, OfConnections, decoded, lines_of, reason_of, too_long
from sources.statuses import MOST_SYMBOLS, NewStatuses, status_word

MOST_STATUS_BYTES = 4_000_000
"""Longest frame of statuses, bytes: it has all products."""
MOST_BOOK_BYTES = 16_000_000
"""Longest frame of books, bytes: a snapshot of 44,000 levels has 4,800,000."""

_STATUS = b'{"type":"status"'
_TRADES = b'{"channel":"market_trades"'
_NAN = float("nan")
"""For figures that the venue does not state."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = DAY_MS // 1_000

_Runs: TypeAlias = dict[tuple[str, str], list[Any]]
"""Events by symbol and kind, in the order of arrival."""


class Parsed(NamedTuple):
    """The parsed frames of a poll."""

    events: list[tuple[str, list[MarketEvent]]]
    """Runs `(symbol, events)`: of one symbol, one type, in the order of arrival."""
    rejected: list[Rejected]
    ignored: int
    """Messages without events: replies to requests, the heartbeats of books, statuses, and unknown types."""
    statuses: tuple[TradingStatus, ...] = ()
    """Statuses of products that are new."""
    trades: Sequence[Trade] = ()
    """Trades of the Exchange feed of products that are known, in the order of arrival; they are not among the events.
    """


class CoinbaseParser:
    """Parses frames of both feeds. Its state, learnt anew after a restart: the statuses of products, and which of them
    have trades.
    """

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._exchange: Callable[[bytes], list[wire.ExchangeMessage]] = lines_of(wire.ExchangeMessage)
        self._levels: Callable[[bytes], list[wire.BooksMessage]] = lines_of(wire.BooksMessage)
        self._trades: Callable[[bytes], list[wire.TradesMessage]] = lines_of(wire.TradesMessage)
        self._one = json.Decoder(wire.ExchangeMessage, strict=False)
        self._one_of_trades = json.Decoder(wire.TradesMessage, strict=False)
        self._one_of_levels = json.Decoder(wire.LevelsMessage, strict=False)
        self._outline = json.Decoder(wire.Outline)
        self._status = json.Decoder(wire.StatusMessage)
        self._statuses = NewStatuses()
        self._traded = OfConnections[dict[str, str]](lambda _: {})
        """Symbols of products with a subscription to trades, each by itself: one text for all of its trades."""
        self._tags = {member.__struct_config__.tag for member in wire.ExchangeMessage.__args__}

    def parse(self, frames: RawFrames) -> Parsed:
        """Parses a poll. Never raises for the content of a frame: invalid messages go to `rejected` with a reason."""
        runs: _Runs = defaultdict(list)
        trades: list[Trade] = []
        is_books, ignored = frames.line == BOOKS_LINE, 0
        try:
            if is_books:
                ignored = _add_levels(runs, decoded(self._levels, frames.payloads, most_bytes=MOST_BOOK_BYTES))
            else:
                ignored = self._add_market(runs, trades, frames)
        except UNREADABLE:
            return self._parse_each(frames, MOST_BOOK_BYTES if is_books else MOST_BYTES)
        return self._of_subscribed(runs, frames, Parsed([], [], ignored, trades=trades))

    def _add_market(self, runs: _Runs, trades: list[Trade], frames: RawFrames) -> int:
        """Messages of the Exchange feed, and what a redundant connection has brought of the Advanced feed meanwhile.
        Returns how many have no events.
        """
        payloads = frames.payloads
        try:
            messages, found = decoded(self._exchange, payloads), list[wire.TradesMessage]()
        except UNREADABLE:
            advanced = [payload for payload in payloads if payload.startswith(_TRADES)]
            if not advanced:
                raise
            found = decoded(self._trades, advanced)
            others = [payload for payload in payloads if not payload.startswith(_TRADES)]
            messages = decoded(self._exchange, others) if others else []
        _add_messages(runs, _without_trades(messages, self._traded.of(frames.streams), trades))
        return _add_trades(runs, found)

    def _of_subscribed(self, runs: _Runs, frames: RawFrames, parsed: Parsed) -> Parsed:
        """Adds the runs of streams that are subscribed."""
        streams, ignored, traded = frames.streams, parsed.ignored, self._traded.of(frames.streams)
        for (symbol, kind), run in runs.items():
            name = stream_name(symbol, kind)
            if streams is None or name in streams.subscribed:
                runs_of_one_type = [run] if kind != "depth" else [list(part) for _, part in groupby(run, type)]
                parsed.events.extend((symbol, part) for part in runs_of_one_type)
                if kind == "trade" and len(traded) < MOST_SYMBOLS:
                    traded[symbol] = symbol
            elif name in streams.retired:
                ignored += len(run)
            else:
                reason = "messages of a stream without a subscription"
                payload = name.encode("utf-8", "replace")[:KEPT_BYTES]
                parsed.rejected.append(Rejected(self._venue, reason, payload, frames.received_ns, len(run)))
        return parsed._replace(ignored=ignored) if ignored > parsed.ignored else parsed

    # --- slow path ---

    def _parse_each(self, frames: RawFrames, most_bytes: int) -> Parsed:
        runs: _Runs = defaultdict(list)
        rejected, ignored = [], 0
        statuses: list[TradingStatus] = []
        for payload in frames.payloads:
            try:
                if payload.startswith(_STATUS) and len(payload) <= MOST_STATUS_BYTES:
                    statuses += self._statuses_in(payload, frames)
                    ignored += 1
                    continue
                found = self._messages_in(payload) if len(payload) <= most_bytes else too_long(payload)
                one: _Runs = defaultdict(list)
                if found and isinstance(found[0], wire.LevelsMessage):
                    _add_levels(one, found)
                elif found and isinstance(found[0], wire.TradesMessage):
                    _add_trades(one, found)
                else:
                    _add_messages(one, found)
            except Exception as error:  # noqa: BLE001 - whatever the decoder raises, only this frame is rejected
                rejected.append(self._refused(reason_of(error), payload, frames))
                continue
            ignored += not one
            for key, events in one.items():
                runs[key] += events
        return self._of_subscribed(runs, frames, Parsed([], rejected, ignored, tuple(statuses)))

    def _statuses_in(self, payload: bytes, frames: RawFrames) -> list[TradingStatus]:
        names = frames.streams.subscribed if frames.streams is not None else ()
        carried = {name.partition("@")[0] for name in names}
        products = self._status.decode(payload).products
        return self._statuses.take(((one.id, status_word(one.state)) for one in products), carried)

    def _messages_in(self, payload: bytes) -> list[Any]:
        """The message in a frame; none in one that is no data. `ValueError` for an error that nothing was sent for."""
        outline = self._outline.decode(payload)
        if outline.type in self._tags:
            return [self._one.decode(payload)]
        if outline.channel == "l2_data":
            return [self._one_of_levels.decode(payload)]
        if outline.channel == "market_trades":
            return [self._one_of_trades.decode(payload)]
        if outline.type == "error":
            raise ValueError(f"{outline.message}: {outline.reason}")
        if outline.type or outline.channel:
            return []
        raise ValueError("the message says neither its type nor its channel")

    def _refused(self, reason: str, payload: bytes, frames: RawFrames) -> Rejected:
        """A rejected message, with symbol and kind if its stream is subscribed."""
        name = name_in(payload)
        is_known = frames.streams is not None and name in frames.streams.subscribed
        symbol, _, kind = name.partition("@") if is_known else ("", "", "")
        return Rejected(self._venue, reason, payload[:KEPT_BYTES], frames.received_ns, symbol=symbol, kind=kind)


def milliseconds(time: datetime) -> int:
    """A time as of the model, ms UTC."""
    since = time - _EPOCH  # exact, and half of what a division of the whole costs
    return (since.days * _DAY_S + since.seconds) * 1_000 + since.microseconds // 1_000


def microseconds(time: datetime) -> int:
    """Since the epoch, UTC."""
    since = time - _EPOCH
    return (since.days * _DAY_S + since.seconds) * 1_000_000 + since.microseconds


def _add_levels(runs: _Runs, messages: Iterable[wire.BooksMessage]) -> int:
    """The venue has no update ids: the id of a change is its time, the same on every connection. Returns how many
    messages are signs of life.
    """
    beats = 0
    for message in messages:
        if isinstance(message, wire.HeartbeatsMessage):
            beats += 1
            continue
        time = milliseconds(message.timestamp)
        for event in message.events:
            symbol, bids, asks = event.product_id, *_sides(event.updates)
            order = microseconds(event.updates[-1].event_time)
            if event.type == "update":
                found: LineDelta | LineSnapshot = LineDelta(symbol, time, order, order, bids, asks)
            else:
                found = LineSnapshot(symbol, order, in_order(bids, is_bids=True), in_order(asks), time)
            runs[symbol, "depth"].append(found)
    return beats


def _without_trades(
    messages: list[wire.ExchangeMessage], traded: dict[str, str], trades: list[Trade]
) -> list[wire.ExchangeMessage]:
    """The messages without the trades of products that are `traded`, which are added to `trades`: the hot path."""
    others: list[wire.ExchangeMessage] = []
    for message in messages:
        symbol = traded.get(message.product_id)
        if symbol is None or not isinstance(message, wire.MatchMessage):
            others.append(message)
            continue
        since = message.time - _EPOCH  # `milliseconds`; a call would cost as much
        time = (since.days * _DAY_S + since.seconds) * 1_000 + since.microseconds // 1_000
        trades.append(Trade(symbol, message.trade_id, time, message.price, message.size, message.side == "buy", time))
    return others


def _add_messages(runs: _Runs, messages: Iterable[wire.ExchangeMessage]) -> None:
    for message in messages:
        symbol, time = message.product_id, milliseconds(message.time)
        if isinstance(message, wire.MatchMessage):
            runs[symbol, "trade"].append(
                Trade(symbol, message.trade_id, time, message.price, message.size, message.side == "buy", time)
            )
        elif isinstance(message, wire.HeartbeatMessage):
            runs[symbol, "heartbeat"].append(NewestTrade(symbol, time, message.last_trade_id))
        else:
            runs[symbol, "ticker"].append(_ticker(message, time))


def _add_trades(runs: _Runs, messages: Iterable[wire.TradesMessage]) -> int:
    """In the order of their ids. What was traded before a subscription is left out, as on the Exchange feed: where it
    is missing, it is fetched. Returns how many messages have nothing else.
    """
    trades: defaultdict[str, list[Trade]] = defaultdict(list)
    empty = 0
    for message in messages:
        new = [one for event in message.events if event.type == "update" for one in event.trades]
        empty += not new
        for one in new:
            time = milliseconds(one.time)
            trades[one.product_id].append(
                Trade(one.product_id, one.trade_id, time, one.price, one.size, one.side == "BUY", time)
            )
    for symbol, run in trades.items():
        runs[symbol, "trade"] += sorted(run, key=_id_of)
    return empty


def _id_of(trade: Trade) -> int:
    return trade.id


def _ticker(message: wire.TickerMessage, time: int) -> Ticker:
    change, percent = change_of(message.open_24h, message.price)
    return Ticker(
        symbol=message.product_id,
        price_change=change,
        price_change_percent=round(percent, 3),  # as other venues print it
        weighted_average=_NAN,
        last_price=message.price,
        open=message.open_24h,
        high=message.high_24h,
        low=message.low_24h,
        volume=message.volume_24h,
        quote_volume=_NAN,
        trades=-1,
        event_time=time,
        open_time=time - DAY_MS,
        close_time=time,
        last_id=message.trade_id,
    )


def _sides(updates: list[wire.LevelUpdate]) -> tuple[list[Level], list[Level]]:
    """Bids and asks."""
    bids = [(update.price_level, update.new_quantity) for update in updates if update.side == "bid"]
    if len(bids) == len(updates):
        return bids, []
    return bids, [(update.price_level, update.new_quantity) for update in updates if update.side == "offer"]


def in_order(levels: list[Level], *, is_bids: bool = False) -> list[Level]:
    """Levels of a whole book, best first, each price once."""
    return sorted({price: (price, quantity) for price, quantity in levels if quantity}.values(), reverse=is_bids)
