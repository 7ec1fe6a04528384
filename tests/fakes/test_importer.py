from msgspec import structs

from tests.fakes.importer import Stored, differences

CALM = Stored(
    {("X", "1m", 0): {"revision": 0}, ("X", "1m", 60_000): {"revision": 0}},
    {"X": {1: (1, 0.5), 2: (2, 0.5)}},
    {("X", 5, 9)},
)


def test_everything_that_is_not_the_same_is_told() -> None:
    assert differences(CALM, structs.replace(CALM)) == []
    candles = {("X", "1m", 0): {"revision": 1}, ("X", "1m", 60_000): {"revision": 0}}
    assert differences(CALM, structs.replace(CALM, candles=candles)) == [
        "candle ('X', '1m', 0): {'revision': 0} became {'revision': 1}"
    ]
    trades = {"X": {1: (1, 0.5), 3: (3, 0.5)}}
    assert differences(CALM, structs.replace(CALM, trades=trades)) == [
        "trade of X 2: (2, 0.5) became None",
        "trade of X 3: None became (3, 0.5)",
    ]
    assert differences(CALM, structs.replace(CALM, holes=set())) == ["hole ('X', 5, 9)"]
