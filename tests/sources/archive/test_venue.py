import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from flows.loop_thread import EventLoopThread
from flows.model import AggregateTrade
from flows.settings import Feed, Rest
from sources.archive.csv_reader import ArchiveError
from sources.archive.files import days_for
from sources.archive.venue import VenueDays
from sources.binance.rest import BinanceRest
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.witness import Witness

pytestmark = pytest.mark.slow

MIDNIGHT = 1_767_225_600_000
BEGIN = MIDNIGHT - 60_000
DAY = 86_400_000
SYMBOL = "BTCUSDT"


@contextmanager
def venue() -> Iterator[tuple[VenueDays, Witness]]:
    """Some minutes of a busy market around a midnight, and a client that has nothing in common with ours."""
    market = SyntheticMarket("spot", (SYMBOL,), seed=3, start_ms=BEGIN, trades_per_s=30)
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


def test_klines_are_those_that_are_closed_and_that_of_the_period_in_which_a_day_begins() -> None:
    with venue() as (days, seen):
        [file] = days_for(SYMBOL, "5m", MIDNIGHT - 1_000_000, MIDNIGHT)
        day = days.get(file)
        assert day is not None
        klines = day.klines(0, 0)
        result = seen.klines(SYMBOL, "5m", MIDNIGHT - 1_200_000)
    assert [(k.open_time, k.close, k.volume, k.is_closed) for k in klines] == [
        (k.open_time, k.close, k.volume, True) for k in result if k.open_time < MIDNIGHT
    ]
    assert [kline.open_time for kline in klines] == [MIDNIGHT - minutes * 60_000 for minutes in (20, 15, 10, 5)]


def test_a_day_of_which_the_venue_has_nothing_is_none() -> None:
    with venue() as (days, _):
        [file] = days_for(SYMBOL, "aggTrades", MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY)
        assert days.get(file) is None


def test_a_refusal_says_so() -> None:
    with venue() as (days, _):
        [file] = days_for("NOSUCH", "aggTrades", MIDNIGHT, MIDNIGHT + DAY)
        with pytest.raises(ArchiveError, match=r"Invalid symbol"):
            days.get(file)
