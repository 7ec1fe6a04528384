"""The years before a synthetic market begins: klines that end at its first price, fine for the last minutes and coarse
for the distant past. Every longer kline is rolled up from the shorter ones where both exist.
"""

import hashlib
import math
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from flows.model import DAY_MS
from sources.replay.market.aggregate import PIECE
from sources.replay.market.history import HISTORY, based
from sources.replay.market.intervals import INTERVALS_MS, open_of
from sources.replay.synthetic.past import CORNERS, FEW, LEAST, quotes_of
from sources.replay.synthetic.profiles import Profile

_TIERS = (("1s", 1_200, "1m"), ("1m", 31_500, "1h"), ("1h", 12_500, "1d"), ("1d", 7_000, "1d"))
"""Interval, how many klines at least, and on which grid the tier begins: over 1,000 of every interval but months."""
_YEARLY_VOLATILITY = 0.6
_YEAR_MS = 365 * DAY_MS
_PULL_A_DAY = 0.004
"""Share of its distance to the first price that the past loses per day, so that twenty years stay plausible."""
_COOLING = 0.05
"""Share of its log volatility that a market loses per kline."""

_Numbers: TypeAlias = npt.NDArray[np.float64]
_Time = TypeVar("_Time", float, _Numbers)


def activity(time_ms: _Time) -> _Time:
    """Activity by time of day, 1.0 on average: highest around midnight UTC, lowest at noon."""
    hours = time_ms % DAY_MS / 3_600_000
    return 0.6 + 1.2 * ((hours - 12) / 12) ** 2


def synthetic_history(
    profile: Profile, *, seed: int, begin_ms: int, trades_per_s: float, since_ms: int = 0
) -> pl.DataFrame:
    """Rows of a `History` from `since_ms` up to `begin_ms`, a whole second. The same arguments give the same rows, and
    a later `since_ms` the last of them.
    """
    entropy = hashlib.sha256(f"{seed}:{profile.reference or profile.symbol}:history".encode()).digest()
    random = np.random.default_rng(int.from_bytes(entropy))
    tiers: list[pl.DataFrame] = []
    close, end_ms = profile.ticks, begin_ms
    for interval, count, grid in _TIERS:
        length = INTERVALS_MS[interval]
        first_ms = max(open_of(grid, end_ms - count * length), 0)
        walk = _Walk(profile, random, length, trades_per_s)
        rows = walk.klines(first_ms, end_ms, close, since_ms)
        tiers.append(based(rows, interval))
        close = rows["open"][0] if rows.height else close
        end_ms = first_ms
        if end_ms <= since_ms:  # the walk goes back in time
            break
    frame = pl.concat(reversed(tiers))
    first_id = profile.first_trade_id - pl.col("trades").cum_sum(reverse=True)
    return frame.with_columns(first_id.alias("first_id"), (first_id + pl.col("trades") - 1).alias("last_id")).select(
        *HISTORY
    )


class _Walk(NamedTuple):
    """A random walk of the price back in time, in steps of one kline; everything in it is newest first."""

    profile: Profile
    random: np.random.Generator
    length_ms: int
    trades_per_s: float

    def klines(self, first_ms: int, end_ms: int, close: int, since_ms: int) -> pl.DataFrame:
        """The klines (`PIECE`) that begin from `first_ms` to before `end_ms`, oldest first; each opens within a tick of
        the close before it, and the last closes at `close`. Of these only those from `since_ms` on. Trade ids are left
        0.
        """
        open_times = np.arange(end_ms - self.length_ms, first_ms - 1, -self.length_ms)
        log_volatility = _faded(self.random.normal(0.0, 0.2, open_times.size), _COOLING)
        spread = _YEARLY_VOLATILITY * math.sqrt(self.length_ms / _YEAR_MS) * np.exp(log_volatility)
        prices = self._prices(close, spread)
        # Taker's sides change: a period opens a tick off the close before it, or not.
        opened, closed = np.maximum(prices[1:] + self.random.integers(-1, 2, spread.size), 1), prices[:-1]
        upper, lower = np.maximum(opened, closed), np.minimum(opened, closed)
        high = upper + (upper * spread * 0.6 * self._shares(spread.size)).astype(np.int64)
        low = np.maximum(lower - (lower * spread * 0.6 * self._shares(spread.size)).astype(np.int64), 1)
        count, lots, taker = self._volumes(open_times, log_volatility)
        is_few = count < FEW
        high, low = np.where(is_few, upper, high), np.where(is_few, lower, low)
        whole = pl.DataFrame(
            {
                "open_time": open_times,
                "open": opened,
                "high": high,
                "low": low,
                "close": closed,
                "volume": lots,
                "trades": count,
                "taker_volume": taker,
                "mean": (opened + closed + high + low) // CORNERS,
            }
        )
        whole = whole.head(int(np.count_nonzero(open_times >= since_ms)))
        none = pl.lit(0, pl.Int64)
        quote, taker_quote = quotes_of(pl.col("trades") < FEW, pl.col("mean").cast(pl.Int128))
        return (
            whole.reverse()
            .select(
                pl.col("open_time", "open", "high", "low", "close", "volume", "trades", "taker_volume"),
                quote.alias("quote"),
                taker_quote.alias("taker_quote"),
                none.alias("first_id"),
                none.alias("last_id"),
            )
            .select(*PIECE)
        )

    def _prices(self, close: int, spread: _Numbers) -> npt.NDArray[np.int64]:
        """`close`, and before it the price at the begin of each kline, in whole ticks."""
        pull = min(_PULL_A_DAY * self.length_ms / DAY_MS, 0.5)
        anchor = math.log(self.profile.ticks)
        steps = (1 - pull) * spread * self.random.standard_normal(spread.size)
        distance = _faded(np.concatenate(([math.log(close) - anchor], steps)), pull)
        prices = np.maximum(np.rint(np.exp(anchor + distance)), 1).astype(np.int64)
        prices[0] = close
        return prices

    def _volumes(
        self, open_times: npt.NDArray[np.int64], log_volatility: _Numbers
    ) -> tuple[npt.NDArray[np.int64], ...]:
        """Trades, lots, and lots that takers bought; so many that `past.py` can take them apart."""
        busy = np.exp(0.6 * log_volatility) * (
            activity(open_times.astype(np.float64)) if self.length_ms < DAY_MS else 1.0
        )
        expected = self.trades_per_s * self.length_ms / 1_000 * busy * (0.6 + 0.8 * self._shares(log_volatility.size))
        count = np.maximum(np.rint(expected), LEAST).astype(np.int64)
        size = self.profile.order_lots / 1.6 * (0.7 + 0.6 * self._shares(log_volatility.size))
        lots = np.maximum((count * size).astype(np.int64), count + 1)
        taker = (lots * (0.35 + 0.3 * self._shares(log_volatility.size))).astype(np.int64)
        most = lots - np.where(count < FEW, 2, CORNERS + 1)
        return count, lots, np.where(count > LEAST, np.clip(taker, 1, most), lots - 1)

    def _shares(self, count: int) -> _Numbers:
        return self.random.random(count)


def _faded(steps: _Numbers, loss: float) -> _Numbers:
    """Sum of all steps so far, when each further step removes the share `loss` of the sum."""
    scaled = pl.Series(steps) / loss
    return pl.concat([pl.Series(steps[:1]), scaled[1:]]).ewm_mean(alpha=loss, adjust=False).to_numpy()
