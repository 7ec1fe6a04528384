from functools import partial

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.replay.market.aggregate import PIECE, roll_up
from sources.replay.market.history import HISTORY, History, Shelf, based, shifted
from sources.replay.market.klines import Kline, klines_of

MINUTE_MS = 60_000


def kline(open_ms: int, price: int, trade_id: int = 0) -> Kline:
    return Kline(
        open_ms, price, price + 2, price - 2, price + 1, 10, 10 * price, 2, 4, 4 * price, trade_id, trade_id + 1
    )


def frame(*klines: Kline) -> pl.DataFrame:
    return pl.DataFrame(list(klines), schema=PIECE, orient="row")


def test_everything_since_a_moment_is_one_kline() -> None:
    rows = [kline(i * MINUTE_MS, 100 + i, 2 * i) for i in range(5)]
    history = History(lambda: based(frame(*rows), "1m"))
    whole = rows[2].then(rows[3]).then(rows[4])
    assert history.since(2 * MINUTE_MS) == whole
    assert history.since(MINUTE_MS + 1) == whole
    assert history.since(5 * MINUTE_MS) is None
    assert history.close_before(2 * MINUTE_MS) == rows[1].close
    assert history.close_before(0) is None
    assert history.last_open == 4 * MINUTE_MS


def test_klines_are_made_of_pieces_that_divide_them() -> None:
    hour, day = 60 * MINUTE_MS, 1_440 * MINUTE_MS
    old, new = based(frame(kline(0, 50)), "4h"), based(frame(kline(4 * hour, 60), kline(5 * hour, 61)), "1h")
    history = History(lambda: pl.concat([old, new]))
    assert history.first_open("1d") == 0
    assert history.first_open("4h") == 0
    assert history.first_open("6h") == 4 * hour
    assert history.first_open("1m") is None
    assert history.pieces("2h", start_ms=0)["open_time"].to_list() == [4 * hour, 5 * hour]
    assert klines_of(roll_up(history.pieces("1d", start_ms=0), "1d"))[0].volume == 30
    assert history.pieces("1d", start_ms=day).is_empty()


def test_what_is_played_is_appended_also_in_the_middle_of_a_period() -> None:
    history = History()
    assert history.since(0) is None
    assert history.last_open is None
    history.append(partial(frame, kline(1_000, 5), kline(1_400, 6)), "1s")
    history.append(partial(frame, kline(1_800, 7)), "1s")
    assert history.since(1_000) == kline(1_000, 5).then(kline(1_400, 6)).then(kline(1_800, 7))


def test_old_seconds_become_minutes_and_nothing_is_lost() -> None:
    history, seconds = History(), 20_000
    rows = [kline(i * 1_000, 100 + i % 7, 2 * i) for i in range(seconds)]
    for begin in range(0, seconds, 500):
        history.append(partial(frame, *rows[begin : begin + 500]), "1s")
    expected = rows[0]
    for row in rows[1:]:
        expected = expected.then(row)
    assert history.since(0) == expected
    fine = history.first_open("1s")
    assert fine is not None
    assert 7_200 <= seconds - fine // 1_000 <= 9_000
    assert fine % MINUTE_MS == 0
    minutes = klines_of(roll_up(history.pieces("1m", start_ms=0), "1m"))
    assert minutes == klines_of(roll_up(frame(*rows), "1m"))


def test_a_shift_keeps_klines_on_their_grid() -> None:
    rows = pl.concat([based(frame(kline(0, 5)), "15m"), based(frame(kline(900_000, 6)), "5m")])
    moved = shifted(rows, 17 * MINUTE_MS)
    assert moved.columns == list(HISTORY)
    assert moved["open_time"].to_list() == [15 * MINUTE_MS, 30 * MINUTE_MS]


@settings(max_examples=15)
@given(st.integers(0, 399), st.sampled_from(["1m", "5m", "1h"]), st.sampled_from([0, 60_000, 1_800_000]))
def test_old_rows_that_are_not_kept_change_nothing(cut: int, interval: str, zone_ms: int) -> None:
    rows = based(frame(*(kline(minute * MINUTE_MS, 100 + minute % 7, 2 * minute) for minute in range(400))), "1m")
    whole = History(lambda: rows)
    parted = History(lambda: rows.slice(cut), old=Shelf(1).slot(lambda: rows.head(cut)))
    for time_ms in (0, 5_000_000, 12_000_000, 24_000_000):
        same = parted.pieces(interval, start_ms=time_ms, zone_ms=zone_ms)
        assert same.equals(whole.pieces(interval, start_ms=time_ms, zone_ms=zone_ms))
        assert parted.since(time_ms) == whole.since(time_ms)
        assert parted.close_before(time_ms) == whole.close_before(time_ms)
    assert parted.first_open(interval, zone_ms=zone_ms) == whole.first_open(interval, zone_ms=zone_ms)


def test_a_shelf_keeps_what_was_used_last() -> None:
    made: list[int] = []

    def make(number: int) -> pl.DataFrame:
        made.append(number)
        return frame()

    shelf = Shelf(2)
    slots = [shelf.slot(partial(make, number)) for number in range(3)]
    for number in (0, 1, 0, 2, 0, 1):
        slots[number]()
    assert made == [0, 1, 2, 1]
