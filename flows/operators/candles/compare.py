"""Whether two versions of a candle are the same: ours, from the trades, and the exchange's own kline. And when a longer
candle that is the same bears out a shorter one that is not.

The law of `is_borne_out`: the exchange says the same as ours of the longer period, and of every other one of the
shorter timeframe inside it. That the longer one is equal says which trades it has, and not where inside it they are: a
trade in the wrong one of two shorter periods changes both, and nothing of the longer one. Only where all others are
equal can nothing cancel out.
"""

from collections.abc import Callable, Iterable
from math import isfinite, isnan
from typing import Final, NamedTuple, TypeAlias

from msgspec import structs

from flows.bounds import VenueRules
from flows.model import IDS, PRICES, VOLUMES, Candle, Kline, TradedOhlcv

PRINTED_UNIT = 1e-8
"""No venue prints more decimals; what differs by at most half of this may be printed the same."""
ULPS = 4
"""Quote volumes have more digits than float64; so many units in the last place are rounding and nothing else."""
MOST_DECIMALS: Final = 12
"""Of a printed average price. One with more differs from the truth by less than is compared."""


def differing_fields(candle: TradedOhlcv[int], kline: TradedOhlcv[int]) -> list[str]:
    """Names of the fields that differ. Ids, volumes and the count of trades are compared where both
    sides have them (`unreported_fields`).
    """
    fields = [name for name in PRICES if getattr(candle, name) != getattr(kline, name)]
    fields += [name for name in VOLUMES if _differs(getattr(candle, name), getattr(kline, name))]
    if "quote_volume" in fields and _is_within_slack(candle, kline):
        fields.remove("quote_volume")
    if candle.trades != kline.trades and candle.trades >= 0 and kline.trades >= 0:
        fields.append("trades")
    if candle.first_id >= 0 and kline.first_id >= 0:
        fields += [name for name in IDS if getattr(candle, name) != getattr(kline, name)]
    return fields


def may_hold(kline: TradedOhlcv[int], some: Candle, rules: VenueRules) -> bool:
    """Whether a kline may be made of the trades of a candle that is known to lack others: then it has as many at least,
    and nothing of the candle lies outside it. What the venue counts otherwise by design is left out.
    """
    holds = {
        "high": kline.high >= some.high,
        "low": kline.low <= some.low,
        "trades": kline.trades < 0 or kline.trades >= some.trades,
        "first_id": kline.first_id < 0 or kline.first_id <= some.first_id,
        "last_id": kline.last_id < 0 or kline.last_id >= some.last_id,
    }
    holds |= {name: not falls_below(kline, some, name) for name in VOLUMES}
    return not some.trades or all(held for name, held in holds.items() if name not in rules.incomparable_fields)


def identified(kline: Kline, known: Kline | None) -> Kline:
    """The kline, with the ids of another report of it where it has none: REST and files report none."""
    if known is None or kline.first_id >= 0 or known.first_id < 0 or differing_fields(kline, known):
        return kline
    return structs.replace(kline, first_id=known.first_id, last_id=known.last_id)


def is_same(ours: float, theirs: float) -> bool:
    """Equal as printed, or as near as float64 can be."""
    return abs(ours - theirs) <= PRINTED_UNIT / 2 + ULPS * 2**-52 * abs(theirs)


def _differs(ours: float, theirs: float) -> bool:
    """Whether both have a value and it is not the same."""
    return not (is_same(ours, theirs) or isnan(ours) or isnan(theirs))


def has_traded(version: TradedOhlcv[int]) -> bool:
    """Whether a version states any trade. Not every venue counts them: then the volume says it."""
    return version.trades > 0 or (version.trades < 0 and version.volume > 0)


def falls_below(whole: TradedOhlcv[int], some: TradedOhlcv[int], name: str) -> bool:
    """Whether a version states less of a volume than some of its trades have. One that is not reported states nothing
    to compare.
    """
    stated, least = getattr(whole, name), getattr(some, name)
    is_rounding = name == "quote_volume" and _is_within_slack(whole, some)
    return stated < least and _differs(least, stated) and not is_rounding


def _is_within_slack(one: TradedOhlcv[int], other: TradedOhlcv[int]) -> bool:
    """Whether quote volumes differ by no more than the rounding of an average price that stands for one of them."""
    slack = quote_volume_slack(one) + quote_volume_slack(other)
    return slack > 0 and abs(one.quote_volume - other.quote_volume) <= slack + PRINTED_UNIT


def quote_volume_slack(version: TradedOhlcv[int]) -> float:
    """How far the quote volume of a version may be off: 0 where it is a sum over trades.

    The law: what a kline says of itself, the stored candle says too. That has no field for it, and needs none: the
    venue's own candle without the volumes that takers bought is of a venue that states an average price, and its quote
    volume is the product of that and the volume. So the average is the number of the fewest decimals with that product.
    Zeros that the venue printed at its end are not seen, and make the slack larger, never smaller.
    """
    if isinstance(version, Kline):
        return version.quote_volume_slack
    is_product = isinstance(version, Candle) and version.status == "venue" and isnan(version.taker_buy_quote_volume)
    if not is_product or not version.volume or not isfinite(version.quote_volume):
        return 0.0
    average = version.quote_volume / version.volume
    decimals = (n for n in range(MOST_DECIMALS) if round(average, n) * version.volume == version.quote_volume)
    return version.volume * 10.0 ** -next(decimals, MOST_DECIMALS)


def kinds_of_difference(fields: Iterable[str]) -> frozenset[str]:
    """What differs, without the detail: prices, ids, or sums over the trades."""
    return frozenset("prices" if name in PRICES else "ids" if name in IDS else "sums" for name in fields)


def is_known_difference(rules: VenueRules, fields: Iterable[str]) -> bool:
    """Whether klines and trades of the venue are known to differ in just these fields, which are not none."""
    return rules.incomparable_fields.issuperset(fields)


def describe_difference(candle: Candle, kline: Kline, fields: Iterable[str]) -> str:
    """Both versions of the fields, for people."""
    return ", ".join(f"{name} {getattr(candle, name)} ≠ {getattr(kline, name)}" for name in fields)


class Period(NamedTuple):
    """A period of the exchange's time, ms UTC."""

    open_time: int
    length: int

    @property
    def end(self) -> int:
        """The first millisecond behind it."""
        return self.open_time + self.length


AreEqual: TypeAlias = Callable[[int, int], bool]
"""Whether the exchange says the same as ours of all periods in `[begin, end)`; also where there are none."""


def is_borne_out(inner: Period, outer: Period, *, is_outer_equal: bool, are_equal: AreEqual) -> bool:
    """Whether `outer` bears out `inner`, which lies in it. `are_equal` is asked about the timeframe of `inner`."""
    return is_outer_equal and are_equal(outer.open_time, inner.open_time) and are_equal(inner.end, outer.end)
