"""The same market by JSON and by SBE: what the flow's machines make of it is the same in every field."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from msgspec import structs

from flows.model import Candle, Disconnected, Subscribed, Trade
from flows.settings import Rest
from sources.binance.sbe.decode import is_sbe
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.market.market import Market
from sources.replay.market.player import Speed
from sources.replay.synthetic.market import SyntheticMarket
from sources.venues import VENUES
from tests.fakes.recordings import recording
from tests.fakes.tapes import market_of
from tests.fakes.venue_line import VenueLine, settings_of
from tests.fakes.venue_peers import BEGIN, PEERS

STREAMS = ("trade", "kline", "depth", "bookTicker")
MINUTE_MS = 60_000
LEAD_MS = 5_000
RECORDED = 1_723_161_300_000
"""The first whole minute of the recording, 2024-08-08 23:55."""
SYMBOLS = PEERS["binance"].symbols


@contextmanager
def both(market: Any, *, speed: Speed) -> Iterator[tuple[VenueLine, VenueLine]]:
    """A line of each encoding on one exchange, subscribed; the market stands still."""
    with exchange_in_thread(market, speed=speed, paused=True, start_now=True) as exchange:
        binary = {"encoding": "sbe", "api_key": "any", "sbe_ws_url": f"{exchange.ws_url}/sbe"}
        lines = []
        for chosen in ({}, binary):
            settings = {"streams": STREAMS, "timeframes": ("1s", "1m"), **chosen}
            rest = VENUES["binance"].rest(settings_of("binance", exchange, **settings), Rest(timeout_s=60))
            line = VenueLine("binance", PEERS["binance"], market, exchange, rest, **settings)
            line.rest.rate_limit.counter.limit = 1_000_000  # the limit is not what is tested
            lines.append(line)
        json_line, sbe_line = lines
        try:
            for line in lines:
                line.follow(*SYMBOLS)
                count = len(line.feed.plans(dict.fromkeys(SYMBOLS, ())))
                line.until(partial(_are_subscribed, line, count))
            exchange.resume()
            yield json_line, sbe_line
        finally:
            for line in lines:
                line.close()


def _are_subscribed(line: VenueLine, count: int) -> bool:
    return len({event.line for event in line.events_of(Subscribed)}) == count


def trades_of(line: VenueLine, symbol: str) -> list[dict[str, Any]]:
    return [{name: getattr(one, name) for name in Trade.__struct_fields__} for one in line.sequenced(symbol)]


def candles_of(line: VenueLine, symbol: str, begin: int, end: int) -> list[Candle]:
    """The closed candles of both timeframes in a time, but for the moment at which each was published."""
    return [
        structs.replace(candle, event_time=0)
        for timeframe in ("1s", "1m")
        for open_time, candle in sorted(line.closed(symbol, timeframe).items())
        if begin <= open_time < end
    ]


def poll_until_closed(lines: tuple[VenueLine, VenueLine], *, minute: int) -> None:
    """Polls both until every symbol's candle of this minute is closed and proven."""

    def is_done(line: VenueLine) -> bool:
        for symbol in SYMBOLS:
            candle = line.closed(symbol, "1m").get(minute)
            if candle is None or not candle.proof:
                return False
        return True

    def are_done() -> bool:
        lines[1].poll()
        return all(map(is_done, lines))

    lines[0].until(are_done)


def assert_same(lines: tuple[VenueLine, VenueLine], begin: int, end: int) -> None:
    """The trades and candles of a time are those of the other encoding, and right."""
    for line in lines:
        assert line.rejected == []
        assert line.events_of(Disconnected) == []
    of_json, of_sbe = lines
    assert all(is_sbe(frame) for polled in of_sbe.polled if polled.line != "market" for frame in polled.payloads)
    for symbol in SYMBOLS:
        first, second = ([one for one in trades_of(line, symbol) if begin <= one["time"] < end] for line in lines)
        assert len(first) > 20
        assert first == second
        candles = candles_of(of_json, symbol, begin, end)
        assert any(candle.timeframe == "1m" and candle.status == "final" for candle in candles)
        assert candles == candles_of(of_sbe, symbol, begin, end)
    joined = sum(len(polled.payloads) for polled in of_sbe.polled if polled.line == "trades")
    assert 0 < joined < sum(map(len, of_sbe.streamed.values()))


def test_a_made_up_market_is_the_same_by_both() -> None:
    market: Market = SyntheticMarket("spot", SYMBOLS, seed=5, start_ms=BEGIN - LEAD_MS, trades_per_s=20)
    with both(market, speed=40.0) as lines:
        poll_until_closed(lines, minute=BEGIN)
        assert_same(lines, BEGIN, BEGIN + MINUTE_MS)


def test_a_recorded_market_is_the_same_by_both() -> None:
    folder = recording("binance-spot-2024-08-08")
    market = market_of([folder / f"{symbol.lower()}_20240808.gz" for symbol in SYMBOLS], kind="spot")
    with both(market, speed=60.0) as lines:
        poll_until_closed(lines, minute=RECORDED)
        assert_same(lines, RECORDED, RECORDED + MINUTE_MS)
