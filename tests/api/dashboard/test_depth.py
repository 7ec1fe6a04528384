"""The book over time and the sizes of trades, in the page's own scripts."""

import json
from typing import Any

from tests.fakes.node import printed

HISTORY = """
const { BookHistory, ROWS, SECONDS } = await import(process.argv[1]);
const history = new BookHistory();
const [books, wanted] = JSON.parse(process.argv[2]);
for (const [bids, asks, time] of books) history.take(bids && { bids, asks }, time);
const { low, high } = history.range;
const shown = (second) => {
  const rows = history.column(second);
  if (!rows) return null;
  return [...rows].flatMap((strength, row) => {
    const price = low + ((row + 0.5) * (high - low)) / ROWS;
    return strength ? [[Math.round(price * 10) / 10, Math.round(strength * 100) / 100]] : [];
  });
};
console.log(JSON.stringify({ span: history.span, columns: wanted.map(shown), seconds: SECONDS }));
"""
Book = list[Any]


def history(books: list[Book], *seconds: int) -> Any:
    """Span and columns (price, strength) of books `[bids, asks, time]`."""
    return json.loads(printed(HISTORY, "depth/history.js", json.dumps([books, seconds])))


def book(second: float, bid: float = 100.0, ask: float = 101.0, quantity: float = 2.0) -> Book:
    """A book of two levels a side, whose worse ones are ten away."""
    return [[[bid, quantity], [bid - 10, 1.0]], [[ask, quantity], [ask + 10, 1.0]], int(second * 1_000)]


def test_a_second_has_its_last_book_and_strengths_by_side() -> None:
    found = history([book(5.1, bid=99.0), book(5.9)], 5, 4)
    [levels, before] = found["columns"]
    assert before is None
    assert [sign for _, sign in levels] == [0.5, 1.0, -1.0, -0.5]
    assert all(abs(price - wanted) < 0.1 for (price, _), wanted in zip(levels, (90, 100, 101, 111), strict=True))


def test_a_quiet_book_holds_and_one_that_was_lost_does_not() -> None:
    found = history([book(0), book(20), book(60), [None, None, 61_000], book(63)], 0, 10, 19, 40, 60, 61, 62, 63)
    known = [column is not None for column in found["columns"]]
    assert known == [True, True, True, False, True, False, False, True]
    assert found["span"] == {"first": 0, "last": 63}


def test_a_deeper_book_leaves_the_seconds_before_it_as_they_are() -> None:
    bids, asks = [[100.0, 2.0], [99.0, 1.0], [90.0, 1.0]], [[101.0, 2.0], [110.0, 1.0], [111.0, 1.0]]
    before, deep = history([book(5), [bids, asks, 6_000]], 5, 6)["columns"]
    assert [sign for _, sign in before] == [0.5, 1.0, -1.0, -0.5]
    assert [sign for _, sign in deep] == [0.5, 0.5, 1.0, -1.0, -0.5, -0.5]
    for levels, wanted in ((before, (90, 100, 101, 111)), (deep, (90, 99, 100, 101, 110, 111))):
        assert all(abs(price - one) < 0.1 for (price, _), one in zip(levels, wanted, strict=True))


def test_it_holds_an_hour_and_no_late_book() -> None:
    found = history([book(10), book(5), book(10 + 3_700), book(3_000)], 10, 111, 10 + 3_700, 3_000)
    assert found["span"] == {"first": 111, "last": 3_710}
    assert [column is not None for column in found["columns"]] == [False, False, True, False]


def test_rows_follow_the_price_wherever_it_goes() -> None:
    for bid in (1e-8, 250.0, 1e6):
        found = history([[[[bid, 1.0]], [[bid * 1.01, 3.0]], 2_000]], 2)
        assert [strength > 0 for _, strength in found["columns"][0]] == [True, False]
    assert len(history([[[[5.0, 1.0]], [], 1_000]], 1)["columns"][0]) == 1


IMBALANCE = """
const { imbalanceOf, sumsOf } = await import(process.argv[1]);
const [bids, asks, share] = JSON.parse(process.argv[2]);
console.log(JSON.stringify([imbalanceOf(bids, asks, share ?? Infinity), sumsOf(bids)]));
"""
LARGE = """
const { largeFrom } = await import(process.argv[1]);
console.log(JSON.stringify(JSON.parse(process.argv[2]).map((values) => largeFrom(values))));
"""


def test_the_share_of_the_bids() -> None:
    def found(*of: Any) -> Any:
        return json.loads(printed(IMBALANCE, "depth/curve.js", json.dumps(of)))

    bids, asks = [[99, 3], [90, 9]], [[101, 1], [110, 3]]
    assert found(bids, asks) == [0.75, [[99, 3], [90, 12]]]
    assert found(bids, asks, 0.02)[0] == 0.75
    assert found([[99, 1], [90, 9]], asks, 0.02)[0] == 0.5
    assert found(bids, [])[0] is None


def test_a_large_trade_stands_out_of_many() -> None:
    few, alike, one_large = [1.0] * 19, [5.0] * 100, [1.0] * 99 + [50.0]
    assert json.loads(printed(LARGE, "trades.js", json.dumps([few, alike, one_large]))) == [None, 20, 4]
