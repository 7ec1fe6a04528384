from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from flows.model import Candle, FeedStatus, Incident, MarketData, Publishable, Ticker, TradeBatch
from sinks.hub import FORMING_MS, GIVE_UP_FACTOR, Backlog, Entry, Filter, Hub
from sinks.messages import CHANNELS
from tests.fakes.trades import BEGIN, trade

ALL = Filter(channels=frozenset(CHANNELS))


def price(value: float, symbol: str = "BTCUSDT") -> MarketData:
    return MarketData("binance", symbol, value, BEGIN)


def candle(open_time: int = 0, *, closed: bool = True, close: float = 1.0, revision: int = 0) -> Candle:
    return Candle(
        "binance", "BTCUSDT", "1m", BEGIN + open_time, 1.0, 1.0, 1.0, close, 1.0, 1.0, 1, 0.5, 0.5, 1, 1,
        is_closed=closed, status="final" if closed else "forming", revision=revision, event_time=BEGIN,
    )  # fmt: skip


def batch(number: int) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", [trade(number, 0)])


class Playing:
    """A hub and its clock."""

    def __init__(self, *, ring: int = 100) -> None:
        self.hub = Hub(rate=100, ring=ring, first_seq=1)

    def at(self, now_ms: int, *items: Publishable) -> list[tuple[int, str, Any]]:
        out = self.hub.publish(items, now_ms=now_ms, wall_ms=BEGIN) + self.hub.release(now_ms=now_ms, wall_ms=BEGIN)
        return [(entry.seq, entry.channel, entry.news) for entry in out]


def test_a_price_goes_at_once_and_the_newest_of_those_that_follow_too_fast_in_its_turn() -> None:
    play = Playing()
    assert play.at(0, price(1.0)) == [(1, "MarketData", price(1.0))]
    assert play.at(3, price(2.0)) == []
    assert play.at(7, price(3.0)) == []
    assert play.hub.due_in(7) == 3
    assert play.at(10) == [(2, "MarketData", price(3.0))]
    assert play.hub.due_in(10) is None


def test_symbols_have_paces_of_their_own() -> None:
    play = Playing()
    play.at(0, price(1.0))
    assert play.at(1, price(9.0, "ETHUSDT")) == [(2, "MarketData", price(9.0, "ETHUSDT"))]


def test_a_closed_candle_is_never_held_back_and_ends_the_forming_one_before_it() -> None:
    play = Playing()
    play.at(0, candle(closed=False, close=1.0))
    assert play.at(1, candle(closed=False, close=2.0)) == []
    assert play.at(2, candle(close=3.0)) == [(2, "Candle", candle(close=3.0)), (3, "ChartUpdate", candle(close=3.0))]
    assert play.at(FORMING_MS) == []


def test_a_chart_update_has_the_price_of_its_moment() -> None:
    play = Playing()
    play.hub.publish([candle(), price(7.5)], now_ms=0, wall_ms=BEGIN)
    [_, first, _] = play.hub.since(0) or []
    assert first.message()["data"]["latest_price"] is None
    [_, second] = play.hub.publish([candle(60_000)], now_ms=0, wall_ms=BEGIN)
    assert second.message()["data"]["latest_price"] == 7.5


def test_what_is_missed_is_in_the_ring_or_it_is_said_that_it_is_gone() -> None:
    play = Playing(ring=3)
    for number in range(1, 6):
        play.at(number, batch(number))
    assert play.hub.last_seq == 5
    assert [entry.seq for entry in play.hub.since(3) or []] == [4, 5]
    assert [entry.seq for entry in play.hub.since(2) or []] == [3, 4, 5]
    assert play.hub.since(5) == []
    assert play.hub.since(1) is None
    assert play.hub.since(6) is None  # another hub's number


def test_the_snapshot_is_the_newest_of_everything_that_is_wanted() -> None:
    play = Playing()
    status = FeedStatus("binance", "market", "live", ("BTCUSDT",))
    play.at(0, price(1.0), candle(0), candle(60_000, closed=False), status, batch(1))
    play.at(1_000, price(2.0), candle(60_000))
    shown = [(entry.channel, entry.news) for entry in play.hub.snapshot(ALL)]
    assert shown == [
        ("Candle", candle(60_000, closed=False)),
        ("Status", status),
        ("MarketData", price(2.0)),
        ("Candle", candle(60_000)),
        ("ChartUpdate", candle(60_000)),
    ]
    assert [entry.channel for entry in play.hub.snapshot(Filter())] == ["MarketData", "ChartUpdate"]


def entry(number: int, news: Publishable, channel: Any = "MarketData") -> Entry:
    return Entry(number, channel, news, time_ms=BEGIN)


def test_filters() -> None:
    btc = entry(1, price(1.0))
    chart = entry(2, candle(), "ChartUpdate")
    outage = entry(3, Incident("disconnect", "binance", "", 0, 0, "cut"), "Incident")
    assert Filter().wants(btc)
    assert not Filter(symbols=frozenset(("ETHUSDT",))).wants(btc)
    assert not Filter(timeframes=frozenset(("5m",))).wants(chart)
    assert Filter(timeframes=frozenset(("5m",))).wants(btc)
    assert msgspec.structs.replace(ALL, symbols=frozenset(("ETHUSDT",))).wants(outage)


def test_a_slow_client_gets_the_newest_price_and_every_closed_candle() -> None:
    backlog = Backlog(capacity=10)
    for number in range(1, 21):
        backlog.put(entry(number, price(float(number))))
    backlog.put(entry(21, candle(), "ChartUpdate"))
    backlog.put(entry(22, price(22.0)))
    lost, waiting = backlog.take()
    assert (lost, [(e.seq, e.channel) for e in waiting]) == (0, [(21, "ChartUpdate"), (22, "MarketData")])


def test_what_does_not_fit_is_counted_and_in_the_end_the_client_is_hopeless() -> None:
    backlog = Backlog(capacity=3)
    for number in range(1, 3 + 3 * GIVE_UP_FACTOR):
        backlog.put(entry(number, batch(number), "Trade"))
        assert not backlog.hopeless
    backlog.put(entry(99, batch(99), "Trade"))
    assert backlog.hopeless
    lost, waiting = backlog.take()
    assert (lost, [e.seq for e in waiting][-1]) == (12, 99)


news = st.one_of(
    st.floats(1, 9).map(price),
    st.sampled_from(["BTCUSDT", "ETHUSDT"]).map(lambda symbol: price(1.0, symbol)),
    st.integers(0, 5).map(lambda number: candle(number * 60_000)),
    st.floats(1, 9).map(lambda close: candle(closed=False, close=close)),
    st.integers(1, 99).map(batch),
    st.just(Ticker("BTCUSDT", BEGIN, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1)),
)
steps = st.lists(st.tuples(st.integers(0, 30), st.lists(news, max_size=5)), max_size=40)


@given(steps)
def test_the_sequence_rises_by_one_and_nothing_that_may_not_be_merged_is_held_back(played: list[Any]) -> None:
    play, now = Playing(ring=10**6), 0
    out = []
    for step, items in played:
        now += step
        out += play.at(now, *items)
    assert [seq for seq, _, _ in out] == list(range(1, len(out) + 1))
    given_out = [item for _, channel, item in out if channel in ("ChartUpdate", "Trade")]
    taken = [
        i for _, items in played for i in items if isinstance(i, TradeBatch) or (isinstance(i, Candle) and i.is_closed)
    ]
    assert given_out == taken


@given(steps, st.data())
def test_a_client_that_resumes_sees_what_one_that_was_never_cut_saw(played: list[Any], data: st.DataObject) -> None:
    play, now = Playing(ring=10**6), 0
    seen = []
    for step, items in played:
        now += step
        seen += play.at(now, *items)
    after = data.draw(st.integers(0, len(seen)))
    missed = play.hub.since(after)
    if after == 0 and not seen:
        assert missed == []
    else:
        assert [(e.seq, e.channel, e.news) for e in missed or []] == seen[after:]


@given(st.lists(news, max_size=200), st.integers(1, 20))
def test_a_backlog_keeps_the_order_and_loses_nothing_in_silence(items: list[Publishable], capacity: int) -> None:
    backlog = Backlog(capacity)
    entries = [
        entry(number, item, "Trade" if isinstance(item, TradeBatch) else "Candle") for number, item in enumerate(items)
    ]
    for item in entries:
        backlog.put(item)
    lost, rest = backlog.take()
    waiting = list(rest)
    assert [e.seq for e in waiting] == sorted(e.seq for e in waiting)
    assert len(waiting) <= capacity
    keepers = [e for e in entries if e.merge_key is None]
    kept = [e for e in waiting if e.merge_key is None]
    assert len(keepers) - len(kept) <= lost
    if not lost:
        assert kept == keepers
