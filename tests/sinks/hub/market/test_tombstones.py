from sinks.hub.market.tombstones import LATE_MS, Tombstones


def test_news_of_a_symbol_are_late_for_a_moment_after_its_removal() -> None:
    tombstones = Tombstones()
    tombstones.add(("BTCUSDT", "ETHUSDT"), 10)
    assert tombstones.is_late("BTCUSDT", 10 + LATE_MS - 1)
    assert not tombstones.is_late("SOLUSDT", 10)
    assert not tombstones.is_late("BTCUSDT", 10 + LATE_MS)
    assert not tombstones.is_late("BTCUSDT", 11), "that it is over is not forgotten"


def test_news_of_a_symbol_that_came_back_are_new() -> None:
    tombstones = Tombstones()
    tombstones.add(("BTCUSDT", "ETHUSDT"), 10)
    tombstones.remove(("BTCUSDT",))
    assert (tombstones.is_late("BTCUSDT", 11), tombstones.is_late("ETHUSDT", 11)) == (False, True)
