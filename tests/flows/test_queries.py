import pytest

from flows.queries import BookQuery, HistoryQuery, KlinesQuery, LastTradeQuery, Query, QueryError, TradesQuery, Urgency


@pytest.mark.parametrize(
    ("query", "urgency"),
    [
        (TradesQuery("BTCUSDT", 1, 2, 0, 1), Urgency.REPAIR),
        (LastTradeQuery("BTCUSDT"), Urgency.REPAIR),
        (BookQuery("BTCUSDT", 100), Urgency.BOOK),
        (BookQuery("BTCUSDT", 100, checks=True), Urgency.AUDIT),
        (KlinesQuery("BTCUSDT", "1m", 0, 1), Urgency.HISTORY),
        (KlinesQuery("BTCUSDT", "1m", 0, 1, checks=True), Urgency.AUDIT),
        (HistoryQuery("BTCUSDT", ("1m",), 0), Urgency.HISTORY),
    ],
)
def test_what_others_wait_for_goes_first(query: Query, urgency: Urgency) -> None:
    assert query.urgency == urgency


def test_repairs_go_before_books_before_history_before_checks() -> None:
    assert sorted(Urgency) == [Urgency.REPAIR, Urgency.BOOK, Urgency.HISTORY, Urgency.AUDIT]


def test_an_error_says_why_and_whether_asking_again_is_of_use() -> None:
    error = QueryError("the venue no longer has it", lasting=True)
    assert (str(error), error.lasting, QueryError("no answer").lasting) == ("the venue no longer has it", True, False)
