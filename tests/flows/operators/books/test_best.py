from flows.clock import Now
from flows.model import BookTicker, Rejected
from flows.operators.books.best import LED_MS, MOST_JUMP, BestBidAsk
from flows.operators.books.results import Results


def ticker(update_id: int, bid: float = 1.0) -> BookTicker:
    return BookTicker("BTCUSDT", update_id, bid, 1.0, 2.0, 1.0)


def taken(best: BestBidAsk, *tickers: BookTicker, local: int = 0) -> Results:
    out: Results = []
    for one in tickers:
        best.take(one, Now(0, local), out)
    return out


def test_each_change_is_shown_once_and_none_that_is_older() -> None:
    best = BestBidAsk("binance")
    assert taken(best, ticker(5), ticker(6), ticker(4, 0.5), ticker(7, 0.5)) == [ticker(5), ticker(7, 0.5)]


def test_an_update_id_far_ahead_is_shown_when_another_one_goes_on_from_there() -> None:
    best, far = BestBidAsk("binance"), 5 + MOST_JUMP + 1
    assert taken(best, ticker(5), ticker(far, 0.5)) == [ticker(5)]
    assert [type(one) for one in taken(best, ticker(far + 1, 0.6))] == [Rejected, BookTicker]


def test_one_that_none_of_the_later_ones_reaches_was_wrong() -> None:
    best = BestBidAsk("binance")
    assert taken(best, ticker(900), ticker(6, 0.5)) == [ticker(900)]
    assert taken(best, ticker(7, 0.6), local=LED_MS) == [ticker(7, 0.6)]


def test_after_a_lost_connection_the_next_one_is_shown() -> None:
    best = BestBidAsk("binance")
    taken(best, ticker(900))
    best.reset()
    assert taken(best, ticker(1)) == [ticker(1)]
