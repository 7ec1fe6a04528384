from api.board import Board
from api.freshness import age_ms
from flows.clock import FeedClock
from tests.fakes.candles import BEGIN


def board_at(time: int) -> Board:
    board = Board("binance", FeedClock(lambda: 1_000))
    board.clock.observe(time)
    return board


def test_time_passes_as_the_feed_tells_it() -> None:
    assert age_ms([board_at(BEGIN + 500)], BEGIN) == 500
    assert age_ms([board_at(BEGIN + 500)], BEGIN + 900) == 0


def test_of_several_hubs_the_latest_time_counts() -> None:
    assert age_ms([board_at(BEGIN + 500), board_at(BEGIN + 700)], BEGIN) == 700


def test_without_a_hub_nobody_tells_the_time() -> None:
    assert age_ms([], BEGIN) is None
