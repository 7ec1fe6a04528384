import msgspec
import pytest

from flows.model import BookTicker, Kline, MarketEvent, Pulse, Rejected, Trade
from flows.operators.parse import Batch
from flows.operators.validate import Validate
from tests.fakes.trades import BEGIN, trade

KEY = "binance:BTCUSDT"


def kline(**changes: float) -> Kline:
    good = Kline("BTCUSDT", "1m", BEGIN + 1, BEGIN, 2, 4, 1, 3, 1, 1, 1, 1, 1, 1, 1, is_closed=True)
    return msgspec.structs.replace(good, **changes)


def fill(kind: str, price: float) -> Trade:
    return Trade("BTCUSDT", 1, BEGIN, price, price, buyer_is_maker=True, event_time=BEGIN, fill=kind)


@pytest.mark.parametrize(
    "event", [trade(1, 0), kline(), fill("NA", 0.0), BookTicker("BTCUSDT", 1, 9.0, 1.0, 10.0, 1.0), kline(close=4)]
)
def test_what_can_be_true_passes(event: MarketEvent) -> None:
    assert Validate()([Batch(KEY, [event])]) == [Batch(KEY, [event])]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (fill("MARKET", 0.0), "a trade on the market without a price or quantity"),
        (kline(high=2.5), "a kline whose open or close lies outside low and high"),
        (kline(open_time=BEGIN + 1), "a kline that does not begin at its period's begin"),
        (BookTicker("BTCUSDT", 1, 10.0, 1.0, 10.0, 1.0), "a book ticker whose bid is not below its ask"),
    ],
)
def test_what_cannot_be_true_is_refused_with_its_reason_and_content(event: MarketEvent, reason: str) -> None:
    assert Validate()([Batch(KEY, [event])]) == [Rejected("binance", reason, msgspec.json.encode(event), 0)]


def test_the_good_ones_of_a_batch_stay_in_order() -> None:
    good = [trade(1, 0), trade(3, 0)]
    out = Validate()([Batch(KEY, [good[0], fill("MARKET", 0.0), good[1]]), Pulse()])
    assert [type(item) for item in out] == [Rejected, Batch, Pulse]
    assert out[1] == Batch(KEY, good)  # type: ignore[arg-type]


def test_microseconds_become_milliseconds() -> None:
    fine = msgspec.structs.replace(trade(1, 7), time=BEGIN * 1_000 + 7_999, event_time=BEGIN * 1_000 + 8_001)
    [batch] = Validate()([Batch(KEY, [fine])])
    assert isinstance(batch, Batch)
    assert batch.events == [msgspec.structs.replace(trade(1, 7), event_time=BEGIN + 8)]


def test_a_kline_in_microseconds_too() -> None:
    fine = kline(open_time=BEGIN * 1_000, event_time=BEGIN * 1_000 + 1_000)
    assert Validate()([Batch(KEY, [fine])]) == [Batch(KEY, [kline()])]
