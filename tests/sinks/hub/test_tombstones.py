from sinks.hub.tombstones import LATE_MS, Departed


def test_news_of_a_symbol_are_late_for_a_moment_after_its_removal() -> None:
    departed = Departed()
    departed.depart(("BTCUSDT", "ETHUSDT"), 10)
    assert departed.is_late("BTCUSDT", 10 + LATE_MS - 1)
    assert not departed.is_late("SOLUSDT", 10)
    assert not departed.is_late("BTCUSDT", 10 + LATE_MS)
    assert not departed.is_late("BTCUSDT", 11), "that it is over is not forgotten"


def test_news_of_a_symbol_that_came_back_are_new() -> None:
    departed = Departed()
    departed.depart(("BTCUSDT", "ETHUSDT"), 10)
    departed.come_back(("BTCUSDT",))
    assert (departed.is_late("BTCUSDT", 11), departed.is_late("ETHUSDT", 11)) == (False, True)
