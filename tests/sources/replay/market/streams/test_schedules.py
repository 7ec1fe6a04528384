import polars as pl

from sources.replay.market.aggregate import TRADE, aggregates_of
from sources.replay.market.decimals import decimals_of
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.klines import RunningTotals
from sources.replay.market.market import MarketKind
from sources.replay.market.streams.schedules import KlineSchedule, SymbolSchedule
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment, Written


def playing(kind: MarketKind) -> tuple[SymbolMarket, ChannelTimeline]:
    encoder = PayloadEncoder(kind, "XUSDT", decimals_of(kind, price=0, quantity=0))
    rows = [(i, 60_000 + i, 60_000 + i, 60_000 + i, i, 5 + i, 1, False) for i in range(3)]
    trades = pl.DataFrame(rows, schema=TRADE, orient="row")
    channel = ChannelTimeline(
        ["xusdt@trade"], Written(trades, encoder.trades), due=trades["due"], place=trades["place"]
    )
    market = SymbolMarket(encoder)
    market.begin(
        SymbolSegment(
            symbol="XUSDT",
            trades=trades,
            aggregates=aggregates_of(trades),
            trade_channel=channel,
            aggregate_channel=ChannelTimeline(["xusdt@aggTrade"], [], due=trades["due"], place=trades["place"]),
            totals=RunningTotals(trades),
            totals_channel=channel,
        )
    )
    return market, channel


def test_spot_forms_every_two_seconds_on_change() -> None:
    market, channel = playing("spot")
    schedule, sent = KlineSchedule(market, "1m"), []
    for second, played in enumerate((1, 2, 2, 2, 3, 3, 3), start=60):
        channel.played = played
        sent += [(second, b'"n":%d,' % played in message.data) for message in schedule.on_tick(second * 1_000 + 20)]
    assert sent == [(60, True), (62, True), (64, True)]


def test_futures_form_every_quarter_second_on_change() -> None:
    market, channel = playing("usdm")
    schedule, sent = KlineSchedule(market, "1m"), []
    for tick, played in enumerate((1, 2, 2, 3)):
        channel.played = played
        sent += [tick for _ in schedule.on_tick(60_020 + tick * 250)]
    assert sent == [0, 1, 3]


def test_who_comes_back_is_told_nothing_of_the_time_between() -> None:
    market, channel = playing("spot")
    channel.played = 3
    symbol, stream = SymbolSchedule(market, frozenset()), "xusdt@kline_1m"
    first = list(symbol.on_tick(61_020, {stream}.__contains__))
    assert list(symbol.on_tick(62_020, set[str]().__contains__)) == []
    later = list(symbol.on_tick(600_020, {stream}.__contains__))
    assert [b'"x":false' in message.data for message in first + later] == [True, True]
    assert b'"t":600000,' in later[0].data


def test_recorded_streams_are_left_to_the_tape() -> None:
    market, channel = playing("spot")
    channel.played = 1
    recorded = frozenset({"xusdt@kline_1m", "xusdt@ticker"})
    messages = SymbolSchedule(market, recorded).on_tick(61_020, lambda stream: stream in recorded or "mini" in stream)
    assert [message.stream for message in messages] == ["xusdt@miniTicker"]
