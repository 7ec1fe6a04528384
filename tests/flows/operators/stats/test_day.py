from math import ulp
from typing import Any

import pytest
from msgspec import structs

from flows.clock import Now
from flows.model import DAY_MS, Candle, Incident, Kline, Stats24h, Ticker, TradeBatch
from flows.operators.candles.builder import CandleBuilder
from flows.operators.pipeline import Pipeline
from flows.operators.stats.day import OURS_STAY, DayStats, OncePerMinute, minutes_of
from flows.operators.trades.sequence import Sequencer
from flows.queries import KlinesQuery, Query, QueryError
from sources.venues import VENUES
from tests.fakes.candles import BEGIN, candle, forming, kline_like
from tests.fakes.recordings import official_klines, pepe_trades, recording

MINUTE = 60_000
QUOTE_ULPS = 4
KEY = "binance:BTCUSDT"
DAY_BEFORE = KlinesQuery("BTCUSDT", "1m", BEGIN - DAY_MS, BEGIN - MINUTE)


def klines(first: int, last: int, **changes: Any) -> list[Kline]:
    """The exchange's minutes, counted from `BEGIN`, both inclusive; they have no ids."""
    return [kline_like(candle(minute), first_id=-1, last_id=-1, **changes) for minute in range(first, last + 1)]


class Followed:
    """A machine whose local time stands still unless it is told otherwise."""

    def __init__(self, key: str = KEY) -> None:
        self.machine = DayStats(key, rules=VENUES[key.partition(":")[0]].rules)
        self.local = 1_000_000
        self.feed = BEGIN

    @property
    def now(self) -> Now:
        return Now(self.feed, self.local)

    def take(self, event: Candle | Ticker) -> list[Any]:
        self.feed = max(self.feed, event.event_time)
        return self.machine.on_events(event, self.now)

    def answer(self, answer: list[Kline] | QueryError, query: Query = DAY_BEFORE) -> list[Any]:
        self.local += 1_000
        assert isinstance(query, KlinesQuery)
        return self.machine.on_answer(query, answer, self.now)

    def wake(self) -> list[Any]:
        """At the next time that the machine wants it."""
        due = self.machine.due_in(self.now)
        assert due is not None
        self.feed, self.local = self.feed + due, self.local + due
        return self.machine.on_timer(self.now)

    def seeded(self) -> "Followed":
        self.take(forming(0, trades=21))
        self.answer(klines(-1_440, -1))
        return self


def stats_in(out: list[Any]) -> Stats24h:
    (stats,) = [item for item in out if isinstance(item, Stats24h)]
    return stats


def ticker(stats: Stats24h, *, last_id: int = 1_020, since: int = 0, **changes: Any) -> Ticker:
    """The exchange's statistics, equal to ours; its window begins `since` ms into our first minute."""
    begin = stats.open_time + since
    made = Ticker(
        symbol="BTCUSDT", event_time=begin + DAY_MS, price_change=stats.change,
        price_change_percent=stats.change_percent, weighted_average=stats.weighted_average,
        last_price=stats.last, open=stats.open,
        high=stats.high, low=stats.low, volume=stats.volume, quote_volume=stats.quote_volume,
        open_time=begin, close_time=begin + DAY_MS, trades=stats.trades, last_id=last_id,
    )  # fmt: skip
    return structs.replace(made, **changes)


# --- the window ---


def test_the_first_candle_asks_for_the_day_before_and_the_statistics_are_complete_with_the_answer() -> None:
    followed = Followed()
    query, first = followed.take(forming(0, trades=21))
    assert query == DAY_BEFORE
    assert (first.complete, first.trades) == (False, 21)
    assert stats_in(followed.answer(klines(-1_440, -1))) == Stats24h(
        venue="binance", symbol="BTCUSDT", time=BEGIN + 30_000,
        open_time=BEGIN - DAY_MS, open=100.0, high=101.5, low=99.25,
        last=1_020.0, volume=1_441 * 12.5, quote_volume=1_441 * 1_255.125, change=920.0, change_percent=920.0,
        weighted_average=1_255.125 / 12.5, trades=1_440 * 42 + 21, complete=True,
    )  # fmt: skip


def test_a_newer_version_of_a_minute_takes_the_place_of_the_older_one() -> None:
    followed = Followed().seeded()
    followed.local += 1_000
    assert stats_in(followed.take(forming(0, trades=30))).trades == 1_440 * 42 + 30
    followed.local += 1_000
    assert stats_in(followed.take(candle(0))).trades == 1_440 * 42  # it ends the minute, so the oldest one is over
    followed.local += 1_000
    assert stats_in(followed.take(candle(0, trades=50, revision=1, status="repaired"))).trades == 1_440 * 42 + 8


def test_versions_are_a_second_apart_and_the_last_change_is_told() -> None:
    followed = Followed().seeded()
    assert followed.take(forming(0, last_id=1_021)) == []
    assert followed.machine.due_in(followed.now) == 1_000
    assert stats_in(followed.wake()).last == 1_021.0
    followed.take(forming(0, last_id=1_022))
    assert stats_in(followed.machine.on_end(followed.now)).last == 1_022.0
    assert followed.machine.on_end(followed.now) == []


def test_without_a_trade_the_window_moves_on_by_time() -> None:
    followed = Followed().seeded()
    moved = stats_in(followed.wake())
    assert (moved.open_time, moved.time) == (BEGIN - DAY_MS + MINUTE, BEGIN + MINUTE)
    assert moved.trades == 1_439 * 42 + 21


def test_a_day_without_a_trade_is_flat_at_the_last_price() -> None:
    followed = Followed().seeded()
    flat = {"trades": 0, "volume": 0.0, "quote_volume": 0.0, "open": 7.0, "high": 7.0, "low": 7.0, "close": 7.0}
    followed.local += 1_000
    for minute in range(1_442):
        out = followed.take(candle(minute, **flat))
        followed.local += 1_000
    stats = stats_in(out)
    assert (stats.open, stats.high, stats.low, stats.last, stats.weighted_average) == (7.0, 7.0, 7.0, 7.0, 7.0)
    assert (stats.volume, stats.trades, stats.change, stats.complete) == (0.0, 0, 0.0, True)


def test_candles_of_other_timeframes_are_ignored() -> None:
    assert Followed().take(forming(0, timeframe="5m")) == []


# --- what is missing ---


def test_where_the_exchange_has_no_kline_there_was_nothing() -> None:
    followed = Followed()
    followed.take(forming(0, trades=21))
    young = stats_in(followed.answer(klines(-3, -1)))
    assert (young.complete, young.trades) == (True, 3 * 42 + 21)
    unborn = Followed()
    unborn.take(forming(0, trades=21))
    assert stats_in(unborn.answer([])).complete


def test_minutes_that_the_exchange_serves_no_more_are_not_known_and_not_wanted_again() -> None:
    followed = Followed("kraken:BTC-USD")
    (query,) = [item for item in followed.take(forming(0, trades=21)) if isinstance(item, KlinesQuery)]
    assert query == KlinesQuery("BTC-USD", "1m", BEGIN - 719 * MINUTE, BEGIN - MINUTE)
    half = stats_in(followed.answer(klines(-719, -1), query))
    assert (half.complete, half.trades) == (False, 719 * 42 + 21)
    for minute in range(720):
        followed.local += MINUTE
        out = followed.take(candle(minute))
        assert not [item for item in out if isinstance(item, Query)]
        assert not stats_in(out).complete
    followed.local += MINUTE
    assert stats_in(followed.take(candle(720))).complete  # the window begins with the oldest kline


def test_a_minute_that_the_exchange_had_not_closed_is_asked_for_again() -> None:
    followed = Followed()
    followed.take(forming(0, trades=21))
    answer = [*klines(-1_440, -2), *klines(-1, -1, is_closed=False)]
    assert not stats_in(followed.answer(answer)).complete
    again = KlinesQuery("BTCUSDT", "1m", BEGIN - MINUTE, BEGIN - MINUTE)
    assert followed.wake() == [again]
    assert stats_in(followed.answer(klines(-1, -1), again)).complete


def test_refused_klines_are_asked_for_again_with_a_growing_delay_unless_that_is_of_no_use() -> None:
    followed = Followed()
    followed.take(forming(0))
    delays = []
    for _ in range(9):
        followed.feed = BEGIN  # so that nothing but the retry is due
        followed.answer(QueryError("busy"))
        due = followed.machine._query_at  # the window's own timer is nearer than the longest delays
        assert due is not None
        delays.append(due - followed.local)
        followed.local = due
        assert DAY_BEFORE in followed.machine.on_timer(followed.now)
    assert delays == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000, 64_000]
    followed.answer(QueryError("no such symbol", lasting=True))
    queries = [item for _ in range(200) for item in followed.wake() if isinstance(item, Query)]
    assert queries == []


def test_minutes_that_were_lost_make_it_incomplete_and_are_asked_for() -> None:
    followed = Followed().seeded()
    followed.take(candle(0))
    followed.local += 1_000
    query, stats = followed.take(forming(3))
    assert query == KlinesQuery("BTCUSDT", "1m", BEGIN + MINUTE, BEGIN + 2 * MINUTE)
    assert not stats.complete
    filled = stats_in(followed.answer(klines(1, 2), query))
    assert (filled.complete, filled.trades) == (True, 1_441 * 42)


def test_a_partial_candle_is_replaced_by_the_exchanges_and_does_not_come_back() -> None:
    followed = Followed().seeded()
    followed.local += 1_000
    query, stats = followed.take(candle(0, trades=22, status="partial"))
    assert (query, stats.complete) == (KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN), False)
    whole = stats_in(followed.answer(klines(0, 0), query))
    assert (whole.complete, whole.trades) == (True, 1_440 * 42)
    followed.local += 1_000
    assert stats_in([*followed.take(candle(0, trades=3, status="partial")), whole]) == whole


# --- the exchange's own ---


@pytest.mark.parametrize("key", [KEY, "binance-usdm:BTCUSDT"])
def test_equal_statistics_are_no_news(key: str) -> None:
    followed = Followed(key)
    followed.take(forming(0, trades=21))
    stats = stats_in(followed.answer(klines(-1_440, -1)))
    assert followed.take(ticker(stats)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"volume": 18_012.0}, "24 hours: volume 18012.0 at the exchange, here 18012.5"),
        ({"last_price": 1.0, "high": 102.0}, "24 hours: high 102.0 at the exchange, here 101.5; last 1.0"),
        ({"trades": 60_502}, "24 hours: trades 60502 at the exchange, here 60501"),
        ({"trades": 60_500}, "24 hours: trades 60500 at the exchange, here 60501"),
    ],
)
def test_a_difference_is_an_incident_at_most_once_a_minute(changes: dict[str, Any], told: str) -> None:
    followed = Followed().seeded()
    followed.local += 1_000
    stats = stats_in(followed.take(forming(0, trades=21, event_time=BEGIN + 31_000)))
    wrong = ticker(stats, **changes)
    (incident,) = [item for item in followed.take(wrong) if isinstance(item, Incident)]
    assert (incident.kind, incident.begin, incident.end) == ("mismatch", wrong.open_time, wrong.close_time)
    assert incident.cause.startswith(told)
    assert incident.outcome == OURS_STAY
    followed.local += 1_000
    served = stats_in(followed.take(forming(0, trades=22, event_time=BEGIN + 32_000)))
    assert (served.volume, served.high, served.trades) == (stats.volume, stats.high, stats.trades + 1), "ours stay"
    assert followed.take(wrong) == []


def test_usdm_may_count_fewer_trades() -> None:
    followed = Followed("binance-usdm:BTCUSDT")
    followed.take(forming(0, trades=21))
    stats = stats_in(followed.answer(klines(-1_440, -1)))
    assert followed.take(ticker(stats, trades=stats.trades - 9)) == []


@pytest.mark.parametrize("part", [0.0, 0.4, 1.0])
def test_spot_has_any_part_of_our_first_minute(part: float) -> None:
    followed = Followed()
    followed.take(forming(0, trades=21))
    first = klines(-1_440, -1_440, high=500.0, low=50.0, open=80.0)
    stats = stats_in(followed.answer([*first, *klines(-1_439, -1)]))
    theirs = ticker(
        stats, since=30_344, open=80.0 if part else 100.0, high=500.0 if part else 101.5, low=99.25,
        volume=stats.volume - 12.5 * (1 - part), quote_volume=stats.quote_volume - 1_255.125 * (1 - part),
        trades=stats.trades - 42 + int(42 * part),
    )  # fmt: skip
    assert followed.take(theirs) == []


def test_spot_has_no_more_than_our_first_minute() -> None:
    followed = Followed()
    followed.take(forming(0, trades=21))
    stats = stats_in(followed.answer(klines(-1_440, -1)))
    (incident,) = followed.take(ticker(stats, since=30_344, volume=stats.volume - 13.0))
    assert incident.cause == f"24 hours: volume {stats.volume - 13} at the exchange, here 18000.0 to 18012.5"


def test_what_does_not_end_with_the_same_trade_or_lacks_something_is_not_compared() -> None:
    followed = Followed()
    incomplete = followed.take(forming(0, trades=21))[-1]
    assert followed.take(ticker(incomplete, volume=1.0)) == []
    stats = stats_in(followed.answer(klines(-1_440, -1)))
    assert followed.take(ticker(stats, last_id=1_021, volume=1.0)) == []
    followed.wake()
    assert followed.take(ticker(stats, volume=1.0)) == []


@pytest.mark.parametrize(
    ("timeframes", "minutes"), [(("1m", "5m"), "1m"), (("1s", "1m", "1h"), "1m"), (("5m",), "5m"), (("1s", "5s"), "5s")]
)
def test_the_shortest_timeframe_of_a_minute_or_more_makes_the_minutes(
    timeframes: tuple[str, ...], minutes: str
) -> None:
    assert minutes_of(timeframes) == minutes


# --- kept ---


def test_one_a_minute_and_instrument_is_kept() -> None:
    stats = stats_in(Followed().seeded().wake())
    later = [structs.replace(stats, time=BEGIN + ms) for ms in (0, 1_000, 60_000, 61_000, 59_000)]
    other = structs.replace(stats, symbol="ETHUSDT", time=BEGIN)
    lacking = structs.replace(stats, time=BEGIN, complete=False)
    assert OncePerMinute()([lacking, *later, other]) == [later[0], later[2], other]


# --- a real day ---


def test_at_the_end_of_a_real_day_the_statistics_are_the_official_candle_of_that_day() -> None:
    folder = recording("binance-spot-pepeusdt-2024-10-27")
    (official,) = official_klines(folder / "binance_spot_PEPEUSDT_1d_2024-10-27.csv")
    key = "binance:PEPEUSDT"
    builder = CandleBuilder(key, timeframes=("1m",), close_grace_ms=2_000, forming_ms=100)
    chain, machine = (
        Pipeline[Any, Any](Sequencer(key, reorder_ms=0), builder),
        DayStats(key, rules=VENUES["binance"].rules),
    )
    trades = pepe_trades()
    out: list[Any] = []
    for place in range(0, len(trades), 50):
        batch = trades[place : place + 50]
        now = Now(batch[-1].event_time, batch[-1].event_time)
        for item in chain.on_events(batch, now):
            if isinstance(item, Candle):
                out += machine.on_events(item, now)
            assert isinstance(item, Candle | TradeBatch)
        for query in [item for item in out if isinstance(item, Query)]:
            out.remove(query)
            out += machine.on_answer(query, [], now)
    midnight = int(official["open_time_ms"]) + DAY_MS
    end = Now(midnight + 2_000, midnight + 2_000)
    for item in chain.on_timer(end):
        assert isinstance(item, Candle)
        out += machine.on_events(item, end)
    stats = [item for item in [*out, *machine.on_timer(end)] if isinstance(item, Stats24h)][-1]
    ours = (stats.open, stats.high, stats.low, stats.last, stats.volume, stats.quote_volume, stats.trades)
    names = ("open", "high", "low", "close", "volume", "quote_volume", "count")
    quote_slack = QUOTE_ULPS * ulp(stats.quote_volume)
    for name, figure in zip(names, ours, strict=True):
        assert figure == pytest.approx(official[name], abs=quote_slack if name == "quote_volume" else 0, rel=0), name
    assert stats.open_time == official["open_time_ms"]
    assert stats.complete
