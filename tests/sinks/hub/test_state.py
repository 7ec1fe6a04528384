from sinks.hub.messages import Message, Topic
from sinks.hub.state import StateCache

MINUTE_MS = 60_000


def message(seq: int, channel: str, symbol: str = "", timeframe: str = "") -> Message:
    return Message(Topic(channel, symbol, timeframe), f"news {seq}", seq=seq, stamp_ms=0)


def numbers(known: StateCache) -> list[int]:
    return [found.seq for found in known.messages(lambda _: True)]


def test_the_latest_of_each_symbol_and_line_is_known_in_the_order_of_their_numbers() -> None:
    known = StateCache()
    known.put(message(1, "MarketData", "BTCUSDT"))
    known.put(message(2, "MarketData", "ETHUSDT"))
    known.put(message(3, "Status"), line="market")
    known.put(message(4, "Status"), line="public")
    known.put(message(5, "MarketData", "BTCUSDT"))
    assert numbers(known) == [2, 3, 4, 5]
    assert known.item(Topic("MarketData", "BTCUSDT")) == "news 5"
    assert known.item(Topic("MarketData", "SOLUSDT")) is None
    assert [found.seq for found in known.messages(lambda topic: topic.channel == "Status")] == [3, 4]


def test_a_closed_candle_ends_the_forming_one_and_an_amendment_of_an_older_one_changes_nothing() -> None:
    known = StateCache()
    known.put_closed(message(1, "Candle", "BTCUSDT", "1m"), open_time=0)
    known.put_forming(message(2, "Candle", "BTCUSDT", "1m"), open_time=MINUTE_MS)
    assert numbers(known) == [1, 2]
    known.put_closed(message(3, "Candle", "BTCUSDT", "1m"), open_time=MINUTE_MS)
    known.put_closed(message(4, "Candle", "BTCUSDT", "1m"), open_time=0)
    assert numbers(known) == [3]


def test_of_a_symbol_that_is_forgotten_nothing_is_known() -> None:
    known = StateCache()
    for seq, symbol in ((1, "BTCUSDT"), (5, "ETHUSDT")):
        known.put(message(seq, "MarketData", symbol))
        known.put_closed(message(seq + 1, "Candle", symbol, "1m"), open_time=0)
        known.put_forming(message(seq + 2, "Candle", symbol, "1m"), open_time=MINUTE_MS)
    known.put(message(9, "Status"), line="market")
    known.forget(lambda topic: topic.symbol == "BTCUSDT")
    assert numbers(known) == [5, 6, 7, 9]
    assert known.item(Topic("MarketData", "BTCUSDT")) is None
