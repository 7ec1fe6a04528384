"""The years before a synthetic market begins: klines that end at its first price, fine for the last minutes, coarse
for what is long ago, so that every longer kline is made of the shorter ones where both exist.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import polars as pl

from flows.model import DAY_MS
from sources.replay.derive import PIECE
from sources.replay.history import HISTORY, based
from sources.replay.intervals import INTERVALS_MS, open_of
from sources.replay.profiles import Profile

_TIERS = (("1s", 1_200, "1m"), ("1m", 64_800, "1h"), ("1h", 12_500, "1d"), ("1d", 7_000, "1d"))
"""Interval, how many klines at least, and on which grid the tier begins: over 1,000 of every interval but months."""
_YEARLY_VOLATILITY = 0.6
_YEAR_MS = 365 * DAY_MS
_PULL_A_DAY = 0.004
"""How much of its distance to the first price the past gives up a day, so that twenty years stay believable."""


def activity(time_ms: int) -> float:
    """How busy a time of the day is, 1.0 on average: most around midnight UTC, least at noon."""
    hours = time_ms % DAY_MS / 3_600_000
    return 0.6 + 1.2 * ((hours - 12) / 12) ** 2


def synthetic_history(profile: Profile, *, seed: int, begin_ms: int, trades_per_s: float) -> pl.DataFrame:
    """Rows of a `History` up to `begin_ms`, a whole second. The same arguments give the same rows."""
    random = Random(f"{seed}:{profile.symbol}:history")  # noqa: S311  # a market, no secret
    tiers: list[pl.DataFrame] = []
    close, end_ms = profile.ticks, begin_ms
    for interval, count, grid in _TIERS:
        length = INTERVALS_MS[interval]
        first_ms = max(open_of(grid, end_ms - count * length), 0)
        walk = _Walk(profile, random, length, close, trades_per_s)
        rows = list(walk.backwards(first_ms, end_ms))
        rows.reverse()
        tiers.append(based(pl.DataFrame(rows, schema=PIECE, orient="row"), interval))
        close = rows[0][1] if rows else close
        end_ms = first_ms
    frame = pl.concat(reversed(tiers))
    first_id = profile.first_trade_id - pl.col("trades").cum_sum(reverse=True)
    return frame.with_columns(first_id.alias("first_id"), (first_id + pl.col("trades") - 1).alias("last_id")).select(
        *HISTORY
    )


class _Walk(NamedTuple):
    """A random walk of the price back in time, in steps of one kline."""

    profile: Profile
    random: Random
    length_ms: int
    close: int
    trades_per_s: float

    def backwards(self, first_ms: int, end_ms: int) -> Iterator[tuple[int, ...]]:
        """The klines that begin from `first_ms` to before `end_ms`, newest first; each opens where the one before it
        closed. Trade ids are left 0.
        """
        sigma = _YEARLY_VOLATILITY * math.sqrt(self.length_ms / _YEAR_MS)
        pull = min(_PULL_A_DAY * self.length_ms / DAY_MS, 0.5)
        gauss, log = self.random.gauss, math.log
        anchor = log(self.profile.ticks)
        close, heat = self.close, 0.0
        for open_ms in range(end_ms - self.length_ms, first_ms - 1, -self.length_ms):
            heat = 0.95 * heat + gauss(0.0, 0.2)
            spread = sigma * math.exp(heat)
            position = log(close) + gauss(0.0, spread)
            opened = max(round(math.exp(position + pull * (anchor - position))), 1)
            yield self._kline(open_ms, opened, close, spread, heat)
            close = opened

    def _kline(self, open_ms: int, opened: int, close: int, spread: float, heat: float) -> tuple[int, ...]:
        random = self.random.random
        busy = math.exp(0.6 * heat) * (activity(open_ms) if self.length_ms < DAY_MS else 1.0)
        count = max(round(self.trades_per_s * self.length_ms / 1_000 * busy * (0.6 + 0.8 * random())), 1)
        lots = max(int(count * self.profile.order_lots / 1.6 * (0.7 + 0.6 * random())), count)
        high = max(opened, close) + int(max(opened, close) * spread * 0.6 * random())
        low = max(min(opened, close) - int(min(opened, close) * spread * 0.6 * random()), 1)
        mean = (opened + close + high + low) // 4
        taker = int(lots * (0.35 + 0.3 * random()))
        return open_ms, opened, high, low, close, lots, lots * mean, count, taker, taker * mean, 0, 0
