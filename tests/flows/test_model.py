import pickle

import pytest

from flows.model import IDS, PRICES, VOLUMES, AggregateTrade, Candle, Instrument, Trade, TradedOhlcv, timeframe_ms
from tests.fakes.candles import candle as made_up


@pytest.mark.parametrize(
    ("timeframe", "ms"), [("1m", 60_000), ("15m", 900_000), ("4h", 14_400_000), ("1d", 86_400_000)]
)
def test_timeframes(timeframe: str, ms: int) -> None:
    assert timeframe_ms(timeframe) == ms


@pytest.mark.parametrize("timeframe", ["", "m", "0m", "1", "7m", "1w", "1M", "2d", "-1m", "1 m"])
def test_what_is_no_timeframe_is_named(timeframe: str) -> None:
    with pytest.raises(ValueError, match="is no timeframe"):
        timeframe_ms(timeframe)


def test_an_instruments_key_leads_back_to_it() -> None:
    instrument = Instrument("binance-usdm", "BTCUSDT")
    assert (instrument.key, Instrument.of(instrument.key)) == ("binance-usdm:BTCUSDT", instrument)


def test_a_trade_covers_itself_and_an_aggregate_what_it_says() -> None:
    plain = Trade("X", 5, 1, 1.0, 1.0, buyer_is_maker=True, event_time=1)
    assert (plain.first_id, plain.last_id) == (5, 5)
    whole = AggregateTrade(
        symbol="X", id=5, time=1, price=1.0, quantity=1.0, buyer_is_maker=True, event_time=1, first_id=8, last_id=9
    )
    again = pickle.loads(pickle.dumps(whole))
    assert (again, again.first_id, again.last_id) == (whole, 8, 9)


def test_a_candle_ends_with_its_last_millisecond() -> None:
    candle = made_up(timeframe="5m", open_time=0)
    assert candle.close_time == 299_999


def test_the_groups_of_a_candles_fields_are_all_of_them() -> None:
    fields = TradedOhlcv.__struct_fields__
    assert sorted(["open_time", "trades", *PRICES, *VOLUMES, *IDS]) == sorted(fields)


def test_the_values_of_a_group_are_in_the_order_of_its_names() -> None:
    candle = made_up()
    assert candle.prices == tuple(getattr(candle, name) for name in PRICES)
    assert candle.volumes == tuple(getattr(candle, name) for name in VOLUMES)
    assert candle.figures == tuple(getattr(candle, name) for name in TradedOhlcv.__struct_fields__)


def test_a_candle_is_made_of_the_figures_of_another_one() -> None:
    candle = made_up(event_time=0)
    again = Candle(
        *candle.figures, venue=candle.venue, symbol=candle.symbol, timeframe=candle.timeframe, is_closed=True,
        status="final",
    )  # fmt: skip
    assert again == candle
