import pytest

from flows.asks import Ask, AskError, BookAsk, HistoryAsk, KlinesAsk, LastTradeAsk, TradesAsk, Urgency


@pytest.mark.parametrize(
    ("ask", "urgency"),
    [
        (TradesAsk("BTCUSDT", 1, 2, 0, 1), Urgency.REPAIR),
        (LastTradeAsk("BTCUSDT"), Urgency.REPAIR),
        (BookAsk("BTCUSDT", 100), Urgency.BOOK),
        (BookAsk("BTCUSDT", 100, checks=True), Urgency.AUDIT),
        (KlinesAsk("BTCUSDT", "1m", 0, 1), Urgency.HISTORY),
        (KlinesAsk("BTCUSDT", "1m", 0, 1, checks=True), Urgency.AUDIT),
        (HistoryAsk("BTCUSDT", ("1m",), 0), Urgency.HISTORY),
    ],
)
def test_what_others_wait_for_goes_first(ask: Ask, urgency: Urgency) -> None:
    assert ask.urgency == urgency


def test_repairs_go_before_books_before_history_before_checks() -> None:
    assert sorted(Urgency) == [Urgency.REPAIR, Urgency.BOOK, Urgency.HISTORY, Urgency.AUDIT]


def test_an_error_says_why_and_whether_asking_again_is_of_use() -> None:
    error = AskError("the venue no longer has it", lasting=True)
    assert (str(error), error.lasting, AskError("no answer").lasting) == ("the venue no longer has it", True, False)
