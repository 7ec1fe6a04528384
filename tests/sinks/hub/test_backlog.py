from hypothesis import given
from hypothesis import strategies as st

from flows.model import MarketData
from sinks.hub.backlog import Backlog
from sinks.hub.messages import Message, Topic


def price(seq: int, symbol: str = "BTCUSDT") -> Message:
    data = MarketData("binance", symbol, float(seq), seq)
    return Message(Topic("MarketData", symbol), data, seq=seq, stamp_ms=0, mergeable=True)


def closed(seq: int) -> Message:
    return Message(Topic("ChartUpdate", "BTCUSDT", "1m"), None, seq=seq, stamp_ms=0)


def drained(backlog: Backlog) -> list[int]:
    return [backlog.pop().seq for _ in range(len(backlog))]


def test_of_prices_the_newest_stays_in_its_own_place_and_closed_candles_all_stay() -> None:
    backlog = Backlog(10)
    for message in (price(1), closed(2), price(3, "ETHUSDT"), closed(4), price(5)):
        backlog.push(message, 0)
    assert drained(backlog) == [2, 3, 4, 5]
    assert backlog.take_dropped() == 0


def test_the_oldest_gives_way_and_is_counted_and_the_time_of_the_first_loss_is_known() -> None:
    backlog = Backlog(2)
    for seq in range(1, 5):
        backlog.push(closed(seq), 100 + seq)
    assert (backlog.dropped, backlog.full_since_ms) == (2, 103)
    assert backlog.pop().seq == 3
    assert backlog.full_since_ms is None
    assert (backlog.take_dropped(), backlog.take_dropped()) == (2, 0)


@given(st.lists(st.sampled_from(["price", "closed"]), max_size=80), st.integers(1, 12))
def test_order_bound_and_no_silent_loss(kinds: list[str], capacity: int) -> None:
    backlog = Backlog(capacity)
    messages = [price(seq) if kind == "price" else closed(seq) for seq, kind in enumerate(kinds)]
    for message in messages:
        backlog.push(message, 0)
    assert len(backlog) <= capacity
    dropped, waiting = backlog.take_dropped(), drained(backlog)
    assert waiting == sorted(waiting)
    kept = [message.seq for message in messages if not message.mergeable]
    assert len(set(kept) - set(waiting)) <= dropped
