from flows.operators.books.book import Book
from tests.fakes.exchange_book import ExchangeBook


def test_a_book_follows_the_differences() -> None:
    exchange = ExchangeBook()
    book = Book(exchange.snapshot(), depth=1_000)
    for delta in exchange.deltas(20):
        book.apply(delta)
    assert book.update_id == exchange.update_id
    assert book.event_time == exchange.time
    assert book.bids.best(50) == exchange.best_bids(50)
    assert book.asks.best(50) == exchange.best_asks(50)


def test_likeness_is_the_share_of_equal_levels_of_both_sides() -> None:
    exchange = ExchangeBook(levels=10)
    book, other = Book(exchange.snapshot(), depth=1_000), Book(exchange.snapshot(), depth=1_000)
    assert book.similarity(other, 100) == 1.0
    other.bids.change([(99.0, 7.0), (98.0, 7.0)])
    other.asks.change([(101.0, 0.0)])
    assert book.similarity(other, 100) == 17 / 20
    assert book.similarity(other, 1) == 0.0


def test_levels_that_only_one_of_two_books_can_know_are_not_compared() -> None:
    exchange = ExchangeBook(levels=10)
    thin, whole = Book(exchange.snapshot(3), depth=3), Book(exchange.snapshot(), depth=1_000)
    assert thin.similarity(whole, 100) == whole.similarity(thin, 100) == 1.0
    whole.bids.change([(98.0, 0.0)])
    assert thin.similarity(whole, 100) == 5 / 6


def test_two_empty_books_are_alike() -> None:
    nothing = ExchangeBook(levels=0).snapshot()
    assert Book(nothing, depth=10).similarity(Book(nothing, depth=10), 100) == 1.0
