from itertools import pairwise

import polars as pl

from sources.replay.synthetic.history import activity, synthetic_history
from sources.replay.synthetic.profiles import profile_of

BEGIN_MS = 1_760_000_025_000


def rows(seed: int = 3) -> pl.DataFrame:
    return synthetic_history(profile_of("spot", "ETHUSDT"), seed=seed, begin_ms=BEGIN_MS, trades_per_s=20.0)


def test_it_is_one_chain_that_ends_at_the_first_price() -> None:
    history, profile = rows(), profile_of("spot", "ETHUSDT")
    ends = (history["open_time"] + history["base_ms"]).to_list()
    assert ends[:-1] == history["open_time"].to_list()[1:]
    assert ends[-1] == BEGIN_MS
    steps = history["open"].to_numpy()[1:] - history["close"].to_numpy()[:-1]
    assert set(steps) == {-1, 0, 1}
    assert history["close"][-1] == profile.ticks
    assert history["last_id"][-1] == profile.first_trade_id - 1
    assert history["last_id"].to_list()[:-1] == [first - 1 for first in history["first_id"].to_list()[1:]]
    assert (history["last_id"] - history["first_id"] + 1).equals(history["trades"])


def test_every_kline_is_possible() -> None:
    history = rows()
    inside = (
        (pl.col("low") > 0)
        & (pl.col("low") <= pl.min_horizontal("open", "close"))
        & (pl.col("high") >= pl.max_horizontal("open", "close"))
        & (pl.col("volume") >= pl.col("trades"))
        & (pl.col("taker_volume") <= pl.col("volume"))
        & pl.col("quote").is_between(pl.col("low") * pl.col("volume"), pl.col("high") * pl.col("volume"))
    )
    assert history.filter(~inside).is_empty()


def test_it_becomes_finer() -> None:
    lengths = rows()["base_ms"].to_list()
    assert all(before >= after for before, after in pairwise(lengths))
    assert {length: lengths.count(length) >= least for length, least in _LEAST.items()} == dict.fromkeys(_LEAST, True)


_LEAST = {1_000: 1_200, 60_000: 31_500, 3_600_000: 12_500, 86_400_000: 7_000}


def test_seeds() -> None:
    assert rows().equals(rows())
    assert not rows().equals(rows(seed=4))


def test_activity_is_one_on_average_and_highest_at_midnight() -> None:
    hours = [activity(hour * 360_000) for hour in range(240)]
    assert abs(sum(hours) / len(hours) - 1) < 0.01
    assert (max(hours), min(hours)) == (hours[0], hours[120])
