import json
from math import isnan
from typing import Any

import pytest

from flows.bounds import fault_of
from flows.model import (
    BookCheck,
    BookTicker,
    Kline,
    LineDelta,
    LineSnapshot,
    MarketEvent,
    StreamNames,
    Ticker,
    Trade,
    TradingStatus,
)
from flows.operators.books.line_book import LineBook
from sources.kraken.parse import KrakenParser
from sources.kraken.rules import RULES
from tests.fakes.kraken_frames import (
    STREAMS,
    book_frame,
    ohlc_frame,
    polled,
    recorded_frames,
    ticker_frame,
    trade_frame,
)
from tests.fakes.parsed import runs_of

KLINES = StreamNames(frozenset(("BTC-USD@kline_1m", "BTC-USD@kline_5m")))
QUOTES = StreamNames(frozenset(("BTC-USD@ticker@bbo",)))
TICKERS = StreamNames(frozenset(("BTC-USD@ticker@trades", "BTC-USD@trade")))
MINUTE_BEGIN = 1_767_225_600_000


def events_of(*frames: bytes, streams: StreamNames | None = STREAMS, parser: KrakenParser | None = None) -> list[Any]:
    parsed = (parser or KrakenParser()).parse(polled(*frames, streams=streams))
    assert parsed.rejected == []
    return [event for _, run in runs_of(parsed) for event in run]


def test_a_trade_has_the_takers_side_its_own_id_and_the_engines_time() -> None:
    frame = trade_frame({"side": "sell", "trade_id": 7}, {"side": "buy", "trade_id": 8, "price": 63502.0})
    time = 1_783_465_204_590
    assert events_of(frame) == [
        Trade("BTC-USD", 7, time, 63501.9, 0.25, True, time),
        Trade("BTC-USD", 8, time, 63502.0, 0.25, False, time),
    ]


@pytest.mark.parametrize(
    ("text", "millisecond"), [("04Z", 0), ("04.5Z", 500), ("04.000000Z", 0), ("04.123456789Z", 123)]
)
def test_times_have_any_number_of_decimals(text: str, millisecond: int) -> None:
    [trade] = events_of(trade_frame({"timestamp": f"2026-07-07T23:00:{text}"}))
    assert trade.time == 1_783_465_204_000 + millisecond


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-07T23:00:04.5+02:00",
        "2026-07-07 23:00:04.590Z",
        "2026-13-07T23:00:04.5Z",
        "2026-07-07T23:00:04x590Z",
        "2026-07-07T23:00:04.5_0Z",
        "yesterday, or before",
    ],
)
def test_a_trade_with_another_time_is_refused_and_named(text: str) -> None:
    parsed = KrakenParser().parse(polled(trade_frame({"timestamp": text}), trade_frame({"trade_id": 9})))
    assert [(one.symbol, one.kind) for one in parsed.rejected] == [("BTC-USD", "trade")]
    assert [trade.id for trade in parsed.trades] == [9]
    assert not KrakenParser().parse(polled(trade_frame({"timestamp": text}))).trades


def test_a_message_that_says_nothing_of_itself_is_refused() -> None:
    parsed = KrakenParser().parse(polled(b'{"data":[]}', b"\xff", b"", trade_frame({})))
    assert len(parsed.rejected) == 3
    assert "neither its channel nor what it answers" in parsed.rejected[0].reason
    assert len(parsed.trades) == 1


def test_runs_are_by_instrument_and_type_in_the_order_of_arrival() -> None:
    parsed = KrakenParser().parse(
        polled(trade_frame({"trade_id": 1}), trade_frame({"symbol": "ETH/USD"}), trade_frame({"trade_id": 2}))
    )
    assert [(symbol, [event.id for event in run]) for symbol, run in runs_of(parsed)] == [  # type: ignore[union-attr]
        ("BTC-USD", [1, 2]),
        ("ETH-USD", [1]),
    ]


def test_a_snapshot_between_changes_separates_them() -> None:
    change = book_frame("update", "9.0 1.0", "", 1)
    parsed = KrakenParser().parse(polled(change, change, book_frame("snapshot", "9.0 1.0", "9.5 1.0", 1), change))
    assert [[type(event) for event in run] for _, run in parsed.events] == [
        [LineDelta, LineDelta],
        [LineSnapshot],
        [LineDelta],
    ]


def test_messages_of_other_streams_are_refused_and_of_ended_ones_dropped() -> None:
    streams = StreamNames(frozenset(("BTC-USD@trade",)), frozenset(("ETH-USD@trade", "BTC-USD@depth@10")))
    parsed = KrakenParser().parse(
        polled(
            trade_frame({"symbol": "SOL/USD"}),
            trade_frame({"symbol": "ETH/USD"}),
            trade_frame({}),
            book_frame("update", "", "", 1),
            ticker_frame(),
            streams=streams,
        )
    )
    assert [symbol for symbol, _ in runs_of(parsed)] == ["BTC-USD"]
    assert [one.reason for one in parsed.rejected] == ["messages of a stream without a subscription"] * 2


def test_heartbeats_statuses_and_replies_are_no_events() -> None:
    frames = [b'{"channel":"heartbeat"}', b'{"channel":"status","type":"update","data":[{"system":"online"}]}',
              b'{"method":"pong","req_id":1}', b'{"channel":"executions","data":[]}',
              b'{"error":"Currency pair not supported XBT/USDT","success":false,"method":"subscribe"}']  # fmt: skip
    parsed = KrakenParser().parse(polled(*frames))
    assert (runs_of(parsed), parsed.rejected, parsed.ignored) == ([], [], 5)


# --- books ---

DOC_ASKS = (
    "45285.2 0.00100000; 45286.4 1.54571953; 45286.6 1.54571109; 45289.6 1.54560911; 45290.2 0.15890660; "
    "45291.8 1.54553491; 45294.7 0.04454749; 45296.1 0.35380000; 45297.5 0.09945542; 45299.5 0.18772827"
)
DOC_BIDS = (
    "45283.5 0.10000000; 45283.4 1.54582015; 45282.1 0.10000000; 45281.0 0.10000000; 45280.3 1.54592586; "
    "45279.0 0.07990000; 45277.6 0.03310103; 45277.5 0.30000000; 45277.3 1.54602737; 45276.6 0.15445238"
)
DOC_CHECKSUM = 3_310_070_434


def test_the_documented_book_has_the_documented_checksum() -> None:
    [snapshot] = events_of(book_frame("snapshot", DOC_BIDS, DOC_ASKS, DOC_CHECKSUM))
    assert LineBook(snapshot, RULES.book_checksum).fault(snapshot.check) == ""
    assert (snapshot.depth, snapshot.last_update_id, snapshot.bids[0]) == (10, 0, (45283.5, 0.1))


def instruments(status: str = "online", kind: str = "snapshot") -> bytes:
    pair = {"symbol": "BTC/USD", "status": status, "price_precision": 1, "qty_precision": 8}
    other = pair | {"symbol": "ETH/USD", "status": "online", "price_precision": 2}
    data = {"assets": [{"id": "BTC"}], "pairs": [pair, other, pair | {"symbol": "X/USD"}]}
    return json.dumps({"channel": "instrument", "type": kind, "data": data}, separators=(",", ":")).encode()


def system(word: str) -> bytes:
    body = {"channel": "status", "type": "update", "data": [{"system": word, "version": "2.0.10"}]}
    return json.dumps(body, separators=(",", ":")).encode()


def test_numbers_that_are_printed_short_are_filled_up_to_the_decimals_of_the_instrument() -> None:
    short = DOC_BIDS.replace("0000;", ";").replace("45281.0", "45281"), DOC_ASKS.replace("0000;", ";")
    frame, parser = book_frame("snapshot", *short, DOC_CHECKSUM), KrakenParser()
    [unknown] = events_of(frame, parser=KrakenParser())
    assert LineBook(unknown, RULES.book_checksum).fault(unknown.check) != ""
    parser.parse(polled(instruments()))
    [snapshot] = events_of(frame, parser=parser)
    assert LineBook(snapshot, RULES.book_checksum).fault(snapshot.check) == ""


def test_a_status_is_given_when_it_changes_and_only_of_what_the_connection_carries() -> None:
    parser = KrakenParser()

    def statuses(*frames: bytes) -> tuple[TradingStatus, ...]:
        parsed = parser.parse(polled(*frames))
        assert (runs_of(parsed), parsed.rejected, parsed.ignored) == ([], [], len(frames))
        return parsed.statuses

    both = ("BTC-USD", "ETH-USD")
    assert statuses(system("online")) == ()  # nothing is known of the instruments
    assert statuses(instruments()) == (TradingStatus(both, "TRADING"),)
    assert statuses(instruments(), system("online")) == ()
    assert statuses(instruments("cancel_only", "update")) == (TradingStatus(("BTC-USD",), "CANCEL_ONLY"),)
    assert statuses(system("maintenance")) == (TradingStatus(both, "MAINTENANCE"),)
    assert statuses(instruments("online", "update")) == ()  # it does not trade before the exchange does
    assert statuses(system("online")) == (TradingStatus(both, "TRADING"),)
    assert statuses(system("<b>")) == (TradingStatus(both, "UNKNOWN"),)


def test_a_line_without_the_list_of_instruments_trades_again_when_the_exchange_does() -> None:
    parser = KrakenParser()
    words = [parser.parse(polled(system(word))).statuses for word in ("online", "cancel_only", "online", "online")]
    both = ("BTC-USD", "ETH-USD")
    assert words == [(), (TradingStatus(both, "CANCEL_ONLY"),), (TradingStatus(both, "TRADING"),), ()]


@pytest.mark.parametrize(
    "change", [{"status": 7}, {"status": ""}, {"price_precision": -1}, {"qty_precision": 31}, {"symbol": ""}]
)
def test_an_impossible_instrument_is_refused_with_its_frame(change: dict[str, Any]) -> None:
    pair = {"symbol": "BTC/USD", "status": "online", "price_precision": 1, "qty_precision": 8} | change
    body = {"channel": "instrument", "type": "update", "data": {"assets": [], "pairs": [pair]}}
    parsed = KrakenParser().parse(polled(json.dumps(body, separators=(",", ":")).encode()))
    assert (runs_of(parsed), parsed.statuses, len(parsed.rejected)) == ([], (), 1)


def test_a_change_keeps_its_digits_for_the_checksum() -> None:
    parser = KrakenParser()
    events_of(book_frame("snapshot", "63501.6 0.63889204", "63501.9 0.00100000", 1), parser=parser)
    change = book_frame("update", "63501.6 0; 0.1 100000000.00000001", "", 5, sent="2026-07-07T23:00:03.977459Z")
    [delta] = events_of(change, parser=parser)
    micros = 1_783_465_203_977_459
    assert delta == LineDelta(
        "BTC-USD", micros // 1_000, micros, micros, [(63501.6, 0.0), (0.1, float("100000000.00000001"))], [],
        check=BookCheck(5, ["635016", "110000000000000001"], []),
    )  # fmt: skip


def test_a_number_with_an_exponent_is_the_same_number() -> None:
    [delta] = events_of(book_frame("update", "6.5E+4 5.1e-06", "", 1))
    assert delta.bids == [(65_000.0, 0.0000051)]
    assert delta.check is not None
    assert delta.check.bids == ["6500051"]


@pytest.mark.parametrize("level", ['"1.0" 1.0', "true 1.0", "null 1.0", "-1.0 1.0", "0.0 1.0", "1.0 -1.0", "[] 1.0",
                                   "1e400 1.0", "1.0 1e400", "1e13 1.0", "1.0 " + "9" * 50])  # fmt: skip
def test_a_level_that_is_none_refuses_its_frame_alone(level: str) -> None:
    good = book_frame("update", "9.0 1.0", "", 1)
    parsed = KrakenParser().parse(polled(good, book_frame("update", level, "", 1), good))
    assert [len(run) for _, run in runs_of(parsed)] == [2]
    assert len(parsed.rejected) == 1


def test_the_depth_of_a_book_is_that_of_its_stream() -> None:
    streams = StreamNames(frozenset(("BTC-USD@depth@100",)))
    [snapshot] = events_of(book_frame("snapshot", "9.0 1.0", "9.5 1.0", 1), streams=streams)
    assert snapshot.depth == 100
    [untold] = events_of(book_frame("snapshot", DOC_BIDS + "; 45000.0 1.0", DOC_ASKS, 1), streams=None)
    assert untold.depth == 25


# --- klines ---


def test_a_kline_states_what_the_venue_states_and_no_more() -> None:
    [kline] = events_of(ohlc_frame(sent="2026-01-01T00:00:30.5Z", rows=[{}]), streams=KLINES)
    assert isinstance(kline, Kline)
    assert kline.quote_volume_slack > 0
    assert (kline.symbol, kline.timeframe, kline.open_time) == ("BTC-USD", "1m", MINUTE_BEGIN)
    assert (kline.close_time, kline.event_time) == (MINUTE_BEGIN + 59_999, MINUTE_BEGIN + 30_500)
    assert (kline.prices, kline.volume, kline.trades) == ((93100.0, 93160.0, 93090.1, 93120.5), 2.5, 41)
    assert (kline.quote_volume, kline.quote_volume_slack) == (93122.2 * 2.5, 0.25)
    assert isnan(kline.taker_buy_volume)
    assert isnan(kline.taker_buy_quote_volume)
    assert (kline.first_id, kline.last_id, kline.is_closed) == (-1, -1, False)
    assert fault_of(kline, RULES) == ""
    assert fault_of(kline) == "a kline with a volume that is not a number"


def test_the_first_kline_of_a_period_closes_the_one_before() -> None:
    parser = KrakenParser()
    events_of(ohlc_frame(sent="2026-01-01T00:00:30Z", rows=[{"volume": 2.0}]), streams=KLINES, parser=parser)
    events_of(ohlc_frame(sent="2026-01-01T00:00:50Z", rows=[{}]), streams=KLINES, parser=parser)
    later = {"interval_begin": "2026-01-01T00:02:00.000000000Z", "volume": 1.0}
    closed, running = events_of(ohlc_frame(sent="2026-01-01T00:02:05Z", rows=[later]), streams=KLINES, parser=parser)
    assert (closed.open_time, closed.is_closed, closed.volume) == (MINUTE_BEGIN, True, 2.5)
    assert closed.event_time == running.event_time == MINUTE_BEGIN + 125_000
    assert (running.open_time, running.is_closed) == (MINUTE_BEGIN + 120_000, False)
    assert fault_of(closed, RULES) == fault_of(running, RULES) == ""


def test_nothing_is_closed_by_a_period_long_after() -> None:
    parser = KrakenParser()
    events_of(ohlc_frame(sent="2026-01-01T00:00:30Z", rows=[{}]), streams=KLINES, parser=parser)
    later = {"interval_begin": "2026-01-01T00:10:00.000000000Z"}
    [running] = events_of(ohlc_frame(sent="2026-01-01T00:10:05Z", rows=[later]), streams=KLINES, parser=parser)
    assert not running.is_closed


def test_of_a_snapshot_the_newest_period_of_each_interval_counts() -> None:
    rows: list[dict[str, Any]] = [{}, {"interval_begin": "2026-01-01T00:01:00Z"}, {"interval": 5}]
    klines = events_of(ohlc_frame(sent="2026-01-01T00:01:30Z", kind="snapshot", rows=rows), streams=KLINES)
    assert [(kline.timeframe, kline.open_time) for kline in klines] == [
        ("1m", MINUTE_BEGIN + 60_000),
        ("5m", MINUTE_BEGIN),
    ]


# --- tickers ---


def test_a_ticker_forgets_a_wrong_time_with_the_next_message_of_its_channel() -> None:
    parser = KrakenParser()
    wrong, right = trade_frame({"timestamp": "2026-07-09T23:00:04.5Z"}), trade_frame({})
    *_, ticker = events_of(wrong, right, ticker_frame(), streams=TICKERS, parser=parser)
    assert isinstance(ticker, Ticker)
    assert ticker.event_time == 1_783_465_204_590


def test_a_ticker_has_the_time_of_the_newest_message_where_it_has_none() -> None:
    parser = KrakenParser()
    assert events_of(ticker_frame(), streams=TICKERS, parser=parser) == []
    _, ticker = events_of(trade_frame({}), ticker_frame(), streams=TICKERS, parser=parser)
    assert isinstance(ticker, Ticker)
    assert (ticker.event_time, ticker.close_time) == (1_783_465_204_590, 1_783_465_204_590)
    assert (ticker.last_price, ticker.open, ticker.price_change) == (93120.5, 93633.0, -512.5)
    assert (ticker.quote_volume, ticker.weighted_average) == (93410.5 * 2000.0, 93410.5)
    assert (ticker.trades, ticker.last_id) == (-1, -1)
    assert fault_of(ticker, RULES) == ""


def test_a_stream_of_quotes_brings_best_bid_and_ask_too() -> None:
    frame = ticker_frame(timestamp="2026-07-07T23:00:04.590753Z")
    ticker, quote = events_of(frame, streams=QUOTES)
    assert isinstance(ticker, Ticker)
    micros = 1_783_465_204_590_753
    assert quote == BookTicker("BTC-USD", micros, 93120.4, 0.5, 93120.5, 1.2, event_time=micros // 1_000)


# --- the recording ---


def test_the_recording_is_read_to_the_last_frame_and_its_trades_have_no_hole() -> None:
    parser = KrakenParser()
    parsed = parser.parse(polled(*recorded_frames()))
    assert parsed.rejected == []
    assert parsed.ignored == 28
    trades: dict[str, list[int]] = {}
    for symbol, run in runs_of(parsed):
        if isinstance(run[0], Trade):
            trades.setdefault(symbol, []).extend(event.id for event in run)  # type: ignore[union-attr]
    assert trades == {
        "BTC-USD": [*range(103_436_768, 103_436_780)],
        "ETH-USD": [*range(64_175_815, 64_175_820)],
    }


def test_a_poll_gives_what_its_frames_give_one_by_one() -> None:
    frames = recorded_frames()
    together: dict[tuple[str, type], list[MarketEvent]] = {}
    singly: dict[tuple[str, type], list[MarketEvent]] = {}
    one = KrakenParser()
    for symbol, run in runs_of(KrakenParser().parse(polled(*frames))):
        together.setdefault((symbol, type(run[0])), []).extend(run)
    for frame in frames:
        for symbol, run in runs_of(one.parse(polled(frame))):
            singly.setdefault((symbol, type(run[0])), []).extend(run)
    assert together == singly
