"""The sums and prices of one period's trades, and how two parts of a period become one.

Merging is commutative and associative: open and close follow the trade ids, not the order of merging. So batches may be
cut anywhere, stragglers may come last, and five minutes may be made of five single ones.

A sum is kept as parts that together are exactly the sum of its trades, and rounded once, when it is read. So rounding
it to the decimals that the exchange prints gives the exchange's digits, however many trades went in and however they
were cut. Trades are added up when something is read, or when they are many: that takes as many calls for a hundred of
them as for the one or two of a live feed's batch.
"""

from collections.abc import Iterable
from typing import Final, Self, TypeAlias

from flows.model import Candle, Figures, Kline, Prices, Trade
from flows.model.exact_sums import fold
from flows.operators.runs import IS_COMPILED, add_up, plain, shown_sum

NO_ID = -1
"""First and last id of a period without trades, as the exchange reports it."""

_NOTHING: Final[list[float]] = []
"""The parts of a sum of no trades."""
MAX_PARTS = 16
"""Parts of a sum; one more, and they are added up into as few as are exact, mostly two. They are few, as each candle
that is shown adds them up.
"""
MOST_WAITING = 0 if IS_COMPILED else 160
"""Trades that wait to be added up; one more, and they are. In C they are added up at once: a call is cheap there, and
trades that wait leave the processor's cache.
"""


BucketState: TypeAlias = tuple[object, ...]
"""The values of a bucket, in the alphabetical order of their names, those of its totals among them."""


class Sum(list[float]):
    """The parts of a sum."""

    def fold(self) -> None:
        """Adds the parts up, into as few as are exact."""
        self[:] = fold(self)


class Totals:
    """What is added up of the trades of a period, in any order."""

    __slots__ = ("high", "low", "quote_volume", "taker_buy_quote_volume", "taker_buy_volume", "trades", "volume")

    def __init__(self, price: float) -> None:
        """Of no trades, flat at `price`."""
        self.high = self.low = price
        self.trades = 0
        self.volume, self.quote_volume, self.taker_buy_volume, self.taker_buy_quote_volume = Sum(), Sum(), Sum(), Sum()

    def add(self, trades: list[Trade]) -> None:
        """Adds trades; `high` and `low` begin as the price of one of them."""
        sums = self.volume, self.quote_volume, self.taker_buy_volume, self.taker_buy_quote_volume
        try:
            high, low, count = add_up(trades, *sums)
        except OverflowError:
            high, low, count = plain.add_up(trades, *sums)
        if high > self.high:  # noqa: PLR1730 - the hot path: max() costs twice as much
            self.high = high
        if low < self.low:  # noqa: PLR1730 - as above
            self.low = low
        self.trades += count
        if len(self.volume) > MAX_PARTS or len(self.quote_volume) > MAX_PARTS:
            self._fold()

    def merge(self, other: "Totals") -> None:
        """Adds those of other trades."""
        if other.high > self.high:  # noqa: PLR1730 - the hot path: max() costs twice as much
            self.high = other.high
        if other.low < self.low:  # noqa: PLR1730 - as above
            self.low = other.low
        self.trades += other.trades
        self.volume += other.volume
        self.quote_volume += other.quote_volume
        self.taker_buy_volume += other.taker_buy_volume
        self.taker_buy_quote_volume += other.taker_buy_quote_volume
        if len(self.volume) > MAX_PARTS or len(self.quote_volume) > MAX_PARTS:
            self._fold()

    def _fold(self) -> None:
        """What takers bought has hardly ever more parts than all."""
        for total in (self.volume, self.quote_volume, self.taker_buy_volume, self.taker_buy_quote_volume):
            total.fold()


class Bucket:
    """One instrument over one period, or a part of it. `gaps` names what is known to be missing."""

    __slots__ = (
        "_totals", "_waiting", "close", "covered", "first_id", "gaps", "is_repaired", "last_id", "open", "open_time",
    )  # fmt: skip

    def __init__(self, open_time: int, price: float) -> None:
        """A period without trades so far, flat at `price` (0.0 while none is known)."""
        self.open_time = open_time
        self.open = self.close = price
        self.first_id = self.last_id = NO_ID
        self._totals = Totals(price)
        self._waiting: list[Trade] = []
        """Trades that are not in the totals yet."""
        self.gaps: frozenset[int] = frozenset()
        self.covered = NO_ID
        """Last raw trade id of the exchange's kline that is in it; trades up to it must not be added."""
        self.is_repaired = False
        """Something was missing, and was filled in later."""

    @property
    def has_trades(self) -> bool:
        """Whether any trade is in it."""
        return bool(self._waiting or self._totals.trades)

    @property
    def totals(self) -> Totals:
        """What all its trades add up to; only for reading."""
        if self._waiting:
            self._totals.add(self._waiting)
            self._waiting = []
        return self._totals

    def add_trades(self, trades: list[Trade]) -> None:
        """Takes trades of this period in the order of their ids, all newer than those it has."""
        waiting, totals = self._waiting, self._totals
        if not (waiting or totals.trades):
            first = trades[0]
            self.open = totals.high = totals.low = first.price
            self.first_id = first.first_id
        last = trades[-1]
        self.close, self.last_id = last.price, last.last_id
        if len(waiting) + len(trades) <= MOST_WAITING:
            waiting += trades
        else:
            totals.add(waiting + trades if waiting else trades)
            self._waiting = []

    def merge(self, other: "Bucket") -> None:
        """Takes another part of the same period, older, newer or in between."""
        self.gaps |= other.gaps
        self.is_repaired |= other.is_repaired
        if not other.has_trades:
            return
        totals, theirs = self.totals, other.totals
        if not totals.trades:
            self.open, self.close = other.open, other.close
            totals.high, totals.low = theirs.high, theirs.low
            self.first_id, self.last_id = other.first_id, other.last_id
        else:
            if other.first_id < self.first_id:
                self.open, self.first_id = other.open, other.first_id
            if other.last_id > self.last_id:
                self.close, self.last_id = other.close, other.last_id
        totals.merge(theirs)

    @classmethod
    def of_kline(cls, kline: Kline) -> Self:
        """The exchange's kline of a running period as a bucket."""
        ids = kline.first_id, kline.last_id
        bucket = cls.of_parts(kline.open_time, kline.prices, kline.trades, ids, [(volume,) for volume in kline.volumes])
        bucket.covered = kline.last_id
        return bucket

    @classmethod
    def of_candle(cls, candle: Candle) -> Self:
        """A closed candle of ours as a bucket."""
        ids = candle.first_id, candle.last_id
        bucket = cls.of_parts(
            candle.open_time, candle.prices, candle.trades, ids, [(volume,) for volume in candle.volumes]
        )
        bucket.is_repaired = candle.status == "repaired"
        return bucket

    @classmethod
    def of_parts(
        cls, open_time: int, prices: Prices, trades: int, ids: tuple[int, int], volumes: Iterable[Iterable[float]]
    ) -> Self:
        """A period of so many trades, with their first and last id; of each of the `VOLUMES` the parts of its sum."""
        bucket = cls(open_time, 0.0)
        totals = bucket.totals
        bucket.open, totals.high, totals.low, bucket.close = prices
        totals.trades = trades
        bucket.first_id, bucket.last_id = ids
        sums = map(Sum, volumes)
        totals.volume, totals.quote_volume, totals.taker_buy_volume, totals.taker_buy_quote_volume = sums
        return bucket

    @property
    def figures(self) -> Figures[int]:
        """What a candle of this period has, volumes as the exchange prints them."""
        totals = self.totals
        return (
            self.open_time, self.open, totals.high, totals.low, self.close,
            shown_sum(totals.volume, _NOTHING), shown_sum(totals.quote_volume, _NOTHING), totals.trades,
            shown_sum(totals.taker_buy_volume, _NOTHING), shown_sum(totals.taker_buy_quote_volume, _NOTHING),
            self.first_id, self.last_id,
        )  # fmt: skip

    def figures_with(self, other: "Bucket") -> Figures[int]:
        """The same of this period when `other` is merged into it, which it is not: running candles are shown often."""
        if not other.has_trades:
            return self.figures
        if not self.has_trades:
            return self.open_time, *other.figures[1:]
        ours, theirs = self.totals, other.totals
        high, low, first, last = ours.high, ours.low, self.first_id, self.last_id
        return (
            self.open_time,
            other.open if other.first_id < self.first_id else self.open,
            max(theirs.high, high),  # max() costs twice as much, and this is done often
            min(theirs.low, low),
            other.close if other.last_id > self.last_id else self.close,
            shown_sum(ours.volume, theirs.volume),
            shown_sum(ours.quote_volume, theirs.quote_volume),
            ours.trades + theirs.trades,
            shown_sum(ours.taker_buy_volume, theirs.taker_buy_volume),
            shown_sum(ours.taker_buy_quote_volume, theirs.taker_buy_quote_volume),
            min(other.first_id, first),
            max(other.last_id, last),
        )

    def state(self) -> BucketState:
        """A copy of everything in it."""
        totals = self.totals
        return (
            self.close, self.covered, self.first_id, self.gaps, totals.high, self.is_repaired, self.last_id, totals.low,
            self.open, self.open_time, Sum(totals.quote_volume), Sum(totals.taker_buy_quote_volume),
            Sum(totals.taker_buy_volume), totals.trades, Sum(totals.volume),
        )  # fmt: skip

    @classmethod
    def of_state(cls, state: BucketState) -> "Bucket":
        """The bucket of a `state()`, which it takes over."""
        bucket = cls(0, 0.0)
        totals = bucket.totals
        (
            bucket.close, bucket.covered, bucket.first_id, bucket.gaps, totals.high, bucket.is_repaired, bucket.last_id,
            totals.low, bucket.open, bucket.open_time, totals.quote_volume, totals.taker_buy_quote_volume,
            totals.taker_buy_volume, totals.trades, totals.volume,
        ) = state  # type: ignore[assignment]  # fmt: skip
        return bucket
