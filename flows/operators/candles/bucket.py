"""The sums and prices of one period's trades, and how two parts of a period become one.

Merging is commutative and associative: open and close follow the trade ids, not the order of merging. So batches may be
cut anywhere, stragglers may come last, and five minutes may be made of five single ones.

A sum is kept as its parts and added up when it is read: exactly, with one rounding at the end. So rounding it to the
decimals that the exchange prints gives the exchange's digits, however many trades went in and however they were cut.
"""

from collections.abc import Iterable
from itertools import compress
from math import fsum
from operator import mul
from typing import Self, TypeAlias

from flows.model import AggregateTrade, Figures, Kline, Prices, Trade
from flows.model.printed import DECIMALS

NO_ID = -1
"""First and last id of a period without trades, as the exchange reports it."""

MAX_PARTS = 16
"""Parts of a sum; one more, and they are added up into two: the sum, and what its rounding lost. They are few, as each
candle that is shown adds them up.
"""


BucketState: TypeAlias = tuple[object, ...]
"""The values of a bucket, in the order of its slots."""


class Sum(list[float]):
    """The parts of a sum."""

    def fold(self) -> None:
        """Adds the parts up: to the sum, and what its rounding lost."""
        high = fsum(self)
        self.append(-high)
        self[:] = high, fsum(self)

    @property
    def value(self) -> float:
        """The sum, correctly rounded."""
        return fsum(self)


class Bucket:
    """One instrument over one period, or a part of it. `gaps` names what is known to be missing."""

    __slots__ = (
        "close", "covered", "first_id", "gaps", "high", "is_repaired", "last_id", "low", "open", "open_time",
        "quote_volume", "taker_buy_quote_volume", "taker_buy_volume", "trades", "volume",
    )  # fmt: skip

    def __init__(self, open_time: int, price: float) -> None:
        """A period without trades so far, flat at `price` (0.0 while none is known)."""
        self.open_time = open_time
        self.open = self.high = self.low = self.close = price
        self.trades = 0
        self.first_id = self.last_id = NO_ID
        self.volume, self.quote_volume, self.taker_buy_volume, self.taker_buy_quote_volume = Sum(), Sum(), Sum(), Sum()
        self.gaps: frozenset[int] = frozenset()
        self.covered = NO_ID
        """Last raw trade id of the exchange's kline that is in it; trades up to it must not be added."""
        self.is_repaired = False
        """Something was missing, and was filled in later."""

    def add_trades(self, trades: list[Trade]) -> None:
        """Takes trades of this period in the order of their ids, all newer than those it has."""
        prices = [t.price for t in trades]
        quantities = [t.quantity for t in trades]
        values = list(map(mul, prices, quantities))
        bought = [not t.buyer_is_maker for t in trades]
        high, low = max(prices), min(prices)
        if not self.trades:
            self.open, self.high, self.low, self.first_id = prices[0], high, low, trades[0].first_id
        elif high > self.high:
            self.high = high
        if low < self.low:  # noqa: PLR1730 - the hot path: min() costs twice as much
            self.low = low
        self.close = prices[-1]
        self.last_id = trades[-1].last_id
        self.trades += _raw_trades(trades)
        self.volume.append(fsum(quantities))
        self.quote_volume.append(fsum(values))
        self.taker_buy_volume.append(fsum(compress(quantities, bought)))
        self.taker_buy_quote_volume.append(fsum(compress(values, bought)))
        if len(self.volume) > MAX_PARTS:
            self._fold()

    def merge(self, other: "Bucket") -> None:
        """Takes another part of the same period, older, newer or in between."""
        self.gaps |= other.gaps
        self.is_repaired |= other.is_repaired
        if not other.trades:
            return
        if not self.trades:
            self.open, self.close = other.open, other.close
            self.high, self.low = other.high, other.low
            self.first_id, self.last_id = other.first_id, other.last_id
        else:
            self.high = max(self.high, other.high)
            self.low = min(self.low, other.low)
            if other.first_id < self.first_id:
                self.open, self.first_id = other.open, other.first_id
            if other.last_id > self.last_id:
                self.close, self.last_id = other.close, other.last_id
        self.trades += other.trades
        self.volume += other.volume
        self.quote_volume += other.quote_volume
        self.taker_buy_volume += other.taker_buy_volume
        self.taker_buy_quote_volume += other.taker_buy_quote_volume
        if len(self.volume) > MAX_PARTS:
            self._fold()

    def _fold(self) -> None:
        """The four sums have as many parts each."""
        for total in (self.volume, self.quote_volume, self.taker_buy_volume, self.taker_buy_quote_volume):
            total.fold()

    @classmethod
    def of_kline(cls, kline: Kline) -> Self:
        """The exchange's kline of a running period as a bucket."""
        ids = kline.first_id, kline.last_id
        bucket = cls.of_parts(kline.open_time, kline.prices, kline.trades, ids, [(volume,) for volume in kline.volumes])
        bucket.covered = kline.last_id
        return bucket

    @classmethod
    def of_parts(
        cls, open_time: int, prices: Prices, trades: int, ids: tuple[int, int], volumes: Iterable[Iterable[float]]
    ) -> Self:
        """A period of so many trades, with their first and last id; of each of the `VOLUMES` the parts of its sum."""
        bucket = cls(open_time, 0.0)
        bucket.open, bucket.high, bucket.low, bucket.close = prices
        bucket.trades = trades
        bucket.first_id, bucket.last_id = ids
        sums = map(Sum, volumes)
        bucket.volume, bucket.quote_volume, bucket.taker_buy_volume, bucket.taker_buy_quote_volume = sums
        return bucket

    @property
    def figures(self) -> Figures[int]:
        """What a candle of this period has, volumes as the exchange prints them."""
        return (
            self.open_time, self.open, self.high, self.low, self.close,
            _printed(self.volume), _printed(self.quote_volume), self.trades,
            _printed(self.taker_buy_volume), _printed(self.taker_buy_quote_volume), self.first_id, self.last_id,
        )  # fmt: skip

    def figures_with(self, other: "Bucket") -> Figures[int]:
        """The same of this period when `other` is merged into it, which it is not: running candles are shown often."""
        if not other.trades:
            return self.figures
        if not self.trades:
            return self.open_time, *other.figures[1:]
        return (
            self.open_time,
            other.open if other.first_id < self.first_id else self.open,
            max(self.high, other.high),
            min(self.low, other.low),
            other.close if other.last_id > self.last_id else self.close,
            _printed(self.volume + other.volume),
            _printed(self.quote_volume + other.quote_volume),
            self.trades + other.trades,
            _printed(self.taker_buy_volume + other.taker_buy_volume),
            _printed(self.taker_buy_quote_volume + other.taker_buy_quote_volume),
            min(self.first_id, other.first_id),
            max(self.last_id, other.last_id),
        )

    def state(self) -> BucketState:
        """A copy of everything in it, as a tuple in the order of `__slots__`."""
        values = (getattr(self, name) for name in self.__slots__)
        return tuple(Sum(value) if type(value) is Sum else value for value in values)

    @classmethod
    def of_state(cls, state: BucketState) -> "Bucket":
        """The bucket of a `state()`, which it takes over."""
        bucket = cls.__new__(cls)
        for name, value in zip(cls.__slots__, state, strict=True):
            setattr(bucket, name, value)
        return bucket


def _printed(parts: list[float]) -> float:
    """Their sum to the last digit that the exchange prints."""
    return round(fsum(parts), DECIMALS)


def _raw_trades(trades: list[Trade]) -> int:
    """Aggregates count as the raw trades that they cover, as the exchange counts them."""
    if not isinstance(trades[0], AggregateTrade):
        return len(trades)
    spanned = trades[-1].last_id - trades[0].first_id + 1
    return spanned if spanned == len(trades) else sum([t.last_id - t.first_id + 1 for t in trades])
