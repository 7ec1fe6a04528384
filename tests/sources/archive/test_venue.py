import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.loop_thread import EventLoopThread
from flows.model import AggregateTrade, Kline, Trade
from flows.queries import KlinesQuery, PastTradesQuery
from flows.settings import Feed, Rest
from sources.archive.csv_reader import ArchiveError
from sources.archive.files import days_for
from sources.archive.venue import VenueDays
from sources.binance.rest import BinanceRest
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.market.playback import Playback
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.witness import Witness
from tests.fakes.young_market import YoungMarket

MIDNIGHT = 1_767_225_600_000
BEGIN = MIDNIGHT - 60_000
DAY = 86_400_000
SYMBOL = "BTCUSDT"


@contextmanager
def venue(market: Playback | None = None) -> Iterator[tuple[VenueDays, Witness]]:
    """Some minutes of a busy market around a midnight, one without a past if none is given, and a client that has
    nothing in common with ours.
    """
    market = market or YoungMarket((SYMBOL,), start_ms=BEGIN, trades_per_s=30)
    network = EventLoopThread()
    with (
        exchange_in_thread(market, speed=120.0, start_now=True) as exchange,
        closing(Witness(exchange.rest_url)) as seen,
    ):
        while seen.server_time() < MIDNIGHT + 60_000:
            time.sleep(0.1)
        exchange.pause()
        rest = BinanceRest.of(Feed(origin="replay", rest_url=exchange.rest_url, streams=("aggTrade",)), Rest())
        with closing(network):
            yield VenueDays(rest, network), seen
            network.start(rest.__aexit__()).result()


def ids(trades: list[AggregateTrade]) -> list[int]:
    return [trade.id for trade in trades]


@pytest.mark.slow
def test_days_hold_each_trade_once_and_the_first_is_known_from_its_first_trade_on() -> None:
    with venue() as (days, seen):
        first, second = days_for(SYMBOL, "aggTrades", BEGIN - 3_600_000, MIDNIGHT + 30_000)
        every = seen.aggregates(SYMBOL, 0)
        before, behind = days.get(first), days.get(second)
        assert before is not None
        assert behind is not None
        assert (before.known_from, behind.known_from) == (every[0][1], 0)
        read = [trade for day in (before, behind) for batch in day.trades(0, 0) for trade in batch]
    result = [row for row in every if row[1] < MIDNIGHT + 30_000]
    assert [(t.id, t.time, t.price, t.quantity, t.buyer_is_maker) for t in read] == result
    assert len(result) > 1_000


@pytest.mark.slow
def test_klines_are_those_that_are_closed_and_that_of_the_period_in_which_a_day_begins() -> None:
    market = SyntheticMarket("spot", (SYMBOL,), seed=3, start_ms=BEGIN, trades_per_s=30)
    with venue(market) as (days, seen):
        [file] = days_for(SYMBOL, "5m", MIDNIGHT - 1_000_000, MIDNIGHT)
        day = days.get(file)
        assert day is not None
        klines = day.klines(0, 0)
        result = seen.klines(SYMBOL, "5m", MIDNIGHT - 1_200_000)
    assert [(k.open_time, k.close, k.volume, k.is_closed) for k in klines] == [
        (k.open_time, k.close, k.volume, True) for k in result if k.open_time < MIDNIGHT
    ]
    assert [kline.open_time for kline in klines] == [MIDNIGHT - minutes * 60_000 for minutes in (20, 15, 10, 5)]


@pytest.mark.slow
def test_a_day_of_which_the_venue_has_nothing_is_none() -> None:
    with venue() as (days, _):
        [file] = days_for(SYMBOL, "aggTrades", MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY)
        assert days.get(file) is None


@pytest.mark.slow
def test_a_refusal_says_so() -> None:
    with venue() as (days, _):
        [file] = days_for("NOSUCH", "aggTrades", MIDNIGHT, MIDNIGHT + DAY)
        with pytest.raises(ArchiveError, match=r"Invalid symbol"):
            days.get(file)


def trades_at(*times: int) -> list[Trade]:
    """Trades with ids from 100 on at these times, in ms after midnight."""
    return [
        Trade(SYMBOL, 100 + number, MIDNIGHT + at, 1.0, 1.0, True, MIDNIGHT + at) for number, at in enumerate(times)
    ]


class Answers:
    """A venue's REST that has some trades, and gives wrong answers where it is made to."""

    def __init__(self, trades: list[Trade]) -> None:
        self._trades = trades
        self.by_id: dict[int, list[Trade]] = {}
        """Wrong answers to queries by id, by their number, from 0."""
        self.by_time: dict[int, list[Trade]] = {}
        self._asked = [0, 0]

    async def first_trades(self, query: PastTradesQuery) -> list[Trade]:
        self._asked[1] += 1
        true = [trade for trade in self._trades if query.begin <= trade.time <= query.end]
        return self.by_time.get(self._asked[1] - 1, true[:2])

    async def trades(self, query: PastTradesQuery) -> list[Trade]:
        self._asked[0] += 1
        given = self.by_id.get(self._asked[0] - 1, self._trades)
        return [trade for trade in given if query.first_id <= trade.id <= query.last_id][:3]

    async def klines(self, query: KlinesQuery) -> list[Kline]:
        raise NotImplementedError


def read(rest: Answers) -> list[int]:
    """The ids of the day that begins at midnight."""
    with closing(EventLoopThread()) as network:
        [file] = days_for(SYMBOL, "aggTrades", MIDNIGHT, MIDNIGHT + DAY)
        day = VenueDays(rest, network).get(file)
        return [] if day is None else [trade.id for batch in day.trades(0, 0) for trade in batch]


DAY_OF_NINE = trades_at(*range(0, DAY + 1, DAY // 8))
"""Eight trades of a day and the first one of the next, in pages of three."""
HOUR = 3_600_000


def later(trade: Trade, by_ms: int) -> Trade:
    return structs.replace(trade, time=trade.time + by_ms)


@pytest.mark.parametrize("number", range(1, 5))
def test_an_answer_without_trades_is_no_end_of_a_day(number: int) -> None:
    rest = Answers(DAY_OF_NINE[:8])
    assert read(rest) == [*range(100, 108)]
    rest = Answers(DAY_OF_NINE[:8])
    rest.by_id[number] = []
    if number <= 3:
        with pytest.raises(ArchiveError, match="contradict each other"):
            read(rest)
    else:
        assert read(rest) == [*range(100, 108)]  # there was no more


@pytest.mark.parametrize("by_ms", [-DAY, -HOUR - DAY // 8, HOUR + DAY // 8, DAY])
@pytest.mark.parametrize("index", range(8))
def test_a_trade_of_another_time_ends_no_day_and_belongs_to_none(by_ms: int, index: int) -> None:
    rest = Answers(DAY_OF_NINE)
    wrong = [*DAY_OF_NINE]
    wrong[index] = later(wrong[index], by_ms)
    rest.by_id = {1 + page: wrong[3 * page : 3 * page + 3] for page in range(3)}
    with pytest.raises(ArchiveError, match="contradict each other"):
        read(rest)


@given(st.data())
def test_whatever_a_venue_answers_once_a_day_is_whole_or_refused(data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.integers(0, DAY // 6), max_size=12))
    true = trades_at(*accumulate(gaps))
    in_day = [trade.id for trade in true if trade.time < MIDNIGHT + DAY]
    rest = Answers(true)
    assert read(rest) == in_day
    rest = Answers(true)
    harmed = data.draw(st.sampled_from([rest.by_id, rest.by_time]))
    number = data.draw(st.integers(0, 4))
    part = true[data.draw(st.integers(0, len(true))) :][:3]
    by_ms = data.draw(st.sampled_from([0, -HOUR, HOUR, -DAY, DAY]))
    harmed[number] = data.draw(st.sampled_from([[], [later(trade, by_ms) for trade in part]]))
    try:
        found = read(rest)
    except ArchiveError:
        return
    if harmed is rest.by_id:
        # holes are named where ids skip; what is behind the last id is not lost in silence
        assert found[-1:] == in_day[-1:] or not in_day
    else:
        assert found in ([], in_day)  # a day of which the venue says nothing is missing, not empty
