"""The state of a venue, and how old it is."""

from api.board import Board
from api.heard import News
from flows.clock import FeedClock
from flows.model import FeedStatus, Incident, MarketData
from sinks.bodies import IncidentBody, LineNews, MarketDataBody, StatusBody
from tests.fakes.candles import BEGIN, gap


def price(value: float, stamp_ms: int, symbol: str = "BTCUSDT") -> News:
    return News("binance", "MarketData", MarketDataBody.of(MarketData("binance", symbol, value, BEGIN)), stamp_ms, 1)


def status(state: str, symbol: str = "ETHUSDT") -> News:
    news = LineNews(FeedStatus("binance", "market", state, (symbol,)), "replay")  # type: ignore[arg-type]
    return News("binance", "Status", StatusBody.of(news), BEGIN, 2)


def incident(one: Incident) -> News:
    return News("binance", "Incident", IncidentBody.of(one), BEGIN, 3)


def test_ages_are_in_the_feeds_time_carried_forward() -> None:
    local = [0]
    board = Board("binance", FeedClock(lambda: local[0]))
    board.take(price(1.0, BEGIN - 5_000, "ETHUSDT"))
    board.take(price(2.0, BEGIN))
    old, new = board.latest("MarketData", "ETHUSDT"), board.latest("MarketData", "BTCUSDT")
    assert old is not None
    assert new is not None
    assert (board.age_ms(old), board.age_ms(new)) == (5_000, 0)
    local[0] = 250
    assert (board.age_ms(old), board.age_ms(new)) == (5_250, 250)


def test_what_is_said_before_the_market_speaks_does_not_tell_the_time() -> None:
    local = [0]
    board = Board("binance", FeedClock(lambda: local[0]))
    board.take(status("connected"))
    board.take(incident(gap()))
    assert board.clock.now().feed == 0
    board.take(price(1.0, BEGIN - 86_400_000))
    local[0] = 250
    assert board.clock.now().feed == BEGIN - 86_400_000 + 250


def test_it_knows_the_latest_of_everything_and_the_symbols_of_the_lines() -> None:
    board = Board("binance")
    for news in (price(1.0, BEGIN), price(2.0, BEGIN + 1), status("connected"), status("live")):
        board.take(news)
    assert [news.body.price for news in board.all_latest("MarketData")] == [2.0]
    assert [news.body.state for news in board.lines()] == ["live"]
    assert (board.symbols(), board.origin) == ({"BTCUSDT", "ETHUSDT"}, "replay")
    assert board.counts == {"MarketData": 2, "Status": 2}


def test_what_has_happened_is_not_forgotten_with_the_present() -> None:
    board = Board("binance")
    board.take(price(1.0, BEGIN))
    board.take(incident(gap()))
    board.forget()
    assert board.symbols() == set()
    assert [news.body.first_id for news in board.incidents] == [7]


def test_a_symbol_that_is_removed_is_forgotten_and_the_lines_stay() -> None:
    board = Board("binance")
    for news in (status("live"), price(1.0, BEGIN), price(2.0, BEGIN, "ETHUSDT"), status("removed", "BTCUSDT")):
        board.take(news)
    assert board.latest("MarketData", "BTCUSDT") is None
    assert [news.body.price for news in board.all_latest("MarketData")] == [2.0]
    assert ([news.body.state for news in board.lines()], board.symbols()) == (["live"], {"ETHUSDT"})
