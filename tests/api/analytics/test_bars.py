from api.analytics.bars import Bars
from tests.fakes.candle_runs import wandering
from tests.fakes.candles import BEGIN, forming


def test_every_candle_is_a_row_the_forming_one_too() -> None:
    candles = [*wandering(3), forming(3)]

    bars = Bars.of(candles)

    assert bars.open_time.tolist() == [BEGIN + minute * 60_000 for minute in range(4)]
    for name in ("high", "low", "close", "volume", "quote_volume"):
        assert getattr(bars, name).tolist() == [getattr(candle, name) for candle in candles]


def test_no_candles_are_empty_columns() -> None:
    bars = Bars.of([])

    assert all(column.size == 0 for column in bars)
    assert bars.scaled() == (bars, 1.0)


def test_scaling_changes_no_digit() -> None:
    bars = Bars.of(wandering(50, price=0.0000093))

    scaled, factor = bars.scaled()

    assert 2**19 <= scaled.close.max() < 2**20
    for name in ("high", "low", "close", "quote_volume"):
        assert (getattr(scaled, name) / factor == getattr(bars, name)).all()
    assert (scaled.volume == bars.volume).all()
