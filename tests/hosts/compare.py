"""What stores, stream and clients have, against a twin that was left alone: up to a moment while the market goes on, or
all of it when it stands still.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from pymongo.errors import PyMongoError

from sinks.trades.reader import TradeReader
from tests.e2e.test_crash import SPEED
from tests.fakes.twins import SYMBOLS, candles_of, differences
from tests.hosts.members import Key, News

OF_ITS_SOURCE: Final = ("status", "first_id", "last_id", "proof", "revision")
"""What a candle says of where it is from; REST names no ids."""
ENDLESS_MS: Final = 2 << 42
_ON_THEIR_WAY_MS: Final = 60_000
_EARLIER_MS: Final = 1_000
"""Trades of one millisecond may be on both sides of a moment."""


class Place(NamedTuple):
    """Where one of the two has stored everything."""

    folders: Sequence[Path]
    """Those with a store of trades each."""
    uri: str
    database: str


class Span(NamedTuple):
    """What is compared: the trades behind some ids up to others, and the candles until then."""

    after: Mapping[str, int]
    """The last id of each symbol that was compared before; empty: all."""
    since_ms: int
    """When that was."""
    until: Mapping[str, int]
    goes_on: bool = True
    """Whether the market does: candles of the last minute may be on their way then."""


class Outcome(NamedTuple):
    """What was found."""

    wrong: list[str]
    own: set[Key]
    """Candles that are the exchange's own, with its values, where the twin has made them of trades."""
    trades: int
    """How many trades were compared."""
    begin_ms: int
    """When the first of them was."""
    end_ms: int
    """By when each symbol has a newer one."""
    closed: set[Key]
    """The candles that the twin has closed since its first trade, as far as they were compared."""

    def said(self) -> str:
        """In words."""
        per_s = self.trades / max(self.end_ms - self.begin_ms, 1) * 1_000 * SPEED
        return f"{self.trades} trades, {per_s:.0f} a second, {len(self.closed)} candles in all"


def compared(shared: Place, twin: Place, span: Span, *, begun_ms: int = 0) -> Outcome:
    """What is there now. `begun_ms` is when the twin's first trade was; 0: that of this span."""
    theirs, ours = _trades(twin, span), _trades(shared, span)
    wrong = []
    for symbol in SYMBOLS:
        last = span.until[symbol]
        for name, frame in (("the twin", theirs[symbol]), ("the hosts", ours[symbol])):
            wrong += _not_whole(f"{name}: {symbol}", frame["id"], span.after.get(symbol), last)
    times = [frame["time"] for frame in theirs.values() if frame.height]
    begin_ms = min((int(one[0]) for one in times), default=0)
    end_ms = min((int(one[-1]) for one in times), default=0)
    begun_ms, settled_ms = begun_ms or begin_ms, end_ms - _ON_THEIR_WAY_MS if span.goes_on else ENDLESS_MS
    candles, own, closed = _candles_that_differ(shared, twin, settled_ms, begun_ms, (theirs, ours))
    return Outcome(wrong + candles, own, sum(one.height for one in theirs.values()), begin_ms, end_ms, closed)


class StreamSeen:
    """What the stream has, message by message. Pure."""

    def __init__(self) -> None:
        self.seq = 0
        self.newest: dict[str, int] = {}
        self.closed: dict[Key, int] = {}
        """The candles that it closes, with the numbers of the messages."""
        self.wrong: list[str] = []

    def take(self, seq: int, news: News) -> None:
        """The next message."""
        self.seq = seq
        if news.kind == "Trade":
            last = self.newest.get(news.symbol)
            if news.has_hole or (last is not None and news.first != last + 1):
                self.wrong.append(f"the stream: {news.symbol}: {news.first} to {news.last} after {last} in {seq}")
            self.newest[news.symbol] = news.last
        elif key := news.closed:
            if key in self.closed:
                self.wrong.append(f"the stream: candle {key} twice, in {self.closed[key]} and {seq}")
            self.closed[key] = seq


def newest_stored(place: Place, symbol: str) -> int:
    """The newest trade that is stored; 0 without any."""
    found = 0
    for path in _stores(place):
        with TradeReader(path) as reader:
            found = max(found, reader.last_id(symbol) or 0)
    return found


def _stores(place: Place) -> list[Path]:
    return [path for folder in place.folders if (path := folder / "trades" / "binance").is_dir()]


def _trades(place: Place, span: Span) -> dict[str, pl.DataFrame]:
    """The trades of the span; one that is stored with several values is there several times."""
    parts: dict[str, list[pl.DataFrame]] = {symbol: [] for symbol in SYMBOLS}
    for path in _stores(place):
        with TradeReader(path) as reader:
            for symbol, frames in parts.items():
                frames.append(reader.trades(symbol, max(span.since_ms - _EARLIER_MS, 0), ENDLESS_MS))
    return {
        symbol: pl.concat(frames)
        .filter((pl.col("id") > span.after.get(symbol, 0)) & (pl.col("id") <= span.until[symbol]))
        .unique()
        .sort("id")
        for symbol, frames in parts.items()
    }


def _not_whole(name: str, ids: pl.Series, after: int | None, last: int) -> list[str]:
    """Whether ids are all there, once each."""
    first = int(ids[0]) if after is None and len(ids) else (after or 0) + 1
    if not len(ids) or int(ids[0]) != first or int(ids[-1]) != last or len(ids) != last - first + 1:
        shown = f"{ids[0]} to {ids[-1]}" if len(ids) else "none"
        return [f"{name}: {len(ids)} trades, {shown}, of {first} to {last}"]
    return []


def _candles_that_differ(
    shared: Place,
    twin: Place,
    settled_ms: int,
    begun_ms: int,
    trades: tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]],
) -> tuple[list[str], set[Key], set[Key]]:
    try:
        theirs, ours = (_settled(place, settled_ms) for place in (twin, shared))
    except PyMongoError as error:
        return [f"the database does not answer: {error}"], set(), set()
    wrong = [
        f"{name}: candle {_key(one)} has no proof"
        for name, some in (("the twin", theirs), ("the hosts", ours))
        for one in some
        if not one["proof"] and one["status"] != "venue"
    ]
    found = list(differences((theirs, trades[0]), (ours, trades[1]), begin=begun_ms))
    own = {one[0] for one in found if one[1:] == ("status", "final", "venue")}
    wrong += [str(one) for one in found if one[0] not in own or one[1] not in OF_ITS_SOURCE]
    return wrong, own, {_key(one) for one in theirs if one["close_time"] >= begun_ms}


def _settled(place: Place, settled_ms: int) -> list[dict[str, Any]]:
    """The candles that closed before a time; of those that form not every version is stored."""
    return [one for one in candles_of(place.uri, place.database) if one["is_closed"] and one["close_time"] < settled_ms]


def _key(candle: Mapping[str, Any]) -> Key:
    return candle["symbol"], candle["timeframe"], candle["open_time"]
