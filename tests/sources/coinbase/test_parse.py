"""Frames of Coinbase become events of the model, or are refused one by one."""

import json
from collections import defaultdict
from datetime import datetime
from typing import Any

import pytest

from flows.model import LineDelta, LineSnapshot, NewestTrade, RawFrames, StreamNames, Ticker, Trade, TradingStatus
from flows.operators.books.line_book import LineBook
from sources.coinbase import wire
from sources.coinbase.parse import CoinbaseParser, Parsed
from tests.fakes.coinbase import advanced_frames, book_frames, documented, exchange_frames, exchange_messages
from tests.fakes.parsed import runs_of

MATCH = documented(wire.MatchMessage)
HEARTBEAT = documented(wire.HeartbeatMessage)
TICKER = documented(wire.TickerMessage)
LEVELS = documented(wire.LevelsMessage)


def parse(*frames: bytes, line: str = "market", streams: StreamNames | None = None) -> Parsed:
    return CoinbaseParser("coinbase").parse(RawFrames(line, list(frames), 7, streams))


def changed(fields: dict[str, Any]) -> bytes:
    return json.dumps(json.loads(MATCH) | fields, separators=(",", ":")).encode()


STREAMS = StreamNames(frozenset(("BTC-USD@trade", "ETH-USD@trade")))


def statuses(parser: CoinbaseParser, *products: dict[str, Any]) -> tuple[TradingStatus, ...]:
    """What a poll with a trade and these statuses gives."""
    row = {"quote_currency": "USD", "status_message": "", "trading_disabled": False}
    body = {"type": "status", "products": [row | product for product in products], "currencies": [{"id": "BTC"}]}
    frame = json.dumps(body, separators=(",", ":")).encode()
    parsed = parser.parse(RawFrames("market", [MATCH, frame], 7, STREAMS))
    assert (len(events(parsed)), parsed.rejected, parsed.ignored) == (1, [], 1)
    return parsed.statuses


def test_a_status_is_given_when_it_changes_and_only_of_what_the_connection_carries() -> None:
    parser = CoinbaseParser("coinbase")
    btc, eth, other = ({"id": f"{name}-USD", "status": "online"} for name in ("BTC", "ETH", "X"))
    assert statuses(parser, btc, eth, other) == (TradingStatus(("BTC-USD", "ETH-USD"), "TRADING"),)
    assert statuses(parser, btc, eth, other) == ()
    assert statuses(parser, btc | {"cancel_only": True}) == (TradingStatus(("BTC-USD",), "CANCEL_ONLY"),)
    assert statuses(parser, btc | {"status": "delisted"}, eth) == (TradingStatus(("BTC-USD",), "DELISTED"),)
    assert statuses(parser, btc | {"status": "<b>"}) == (TradingStatus(("BTC-USD",), "UNKNOWN"),)
    assert statuses(parser, btc, eth) == (TradingStatus(("BTC-USD",), "TRADING"),)
    assert statuses(parser) == ()


@pytest.mark.parametrize("change", [{"status": 7}, {"status": "x" * 65}, {"id": ""}, {"cancel_only": "yes"}])
def test_an_impossible_status_is_refused_with_its_frame_alone(change: dict[str, Any]) -> None:
    body = {"type": "status", "products": [{"id": "BTC-USD", "status": "online"} | change], "currencies": []}
    frame = json.dumps(body, separators=(",", ":")).encode()
    parsed = parse(MATCH, frame, MATCH, streams=STREAMS)
    assert (len(events(parsed)), parsed.statuses, len(parsed.rejected)) == (2, (), 1)


def events(parsed: Parsed) -> list[Any]:
    return [event for _, run in parsed.events for event in run]


def test_a_match_becomes_a_trade_and_the_side_is_the_makers() -> None:
    sold = changed({"side": "sell", "trade_id": 1052000003})
    assert events(parse(MATCH, sold)) == [
        Trade("BTC-USD", 1052000002, 1767225601164, 93120.49, 0.2, True, 1767225601164),
        Trade("BTC-USD", 1052000003, 1767225601164, 93120.49, 0.2, False, 1767225601164),
    ]


def test_a_heartbeat_names_the_newest_trade() -> None:
    assert parse(HEARTBEAT).events == [("BTC-USD", [NewestTrade("BTC-USD", 1767225602000, 1052000002)])]


def test_a_ticker_has_what_the_venue_states_and_nothing_else() -> None:
    [ticker] = events(parse(TICKER))
    assert isinstance(ticker, Ticker)
    assert (ticker.open, ticker.last_price, ticker.price_change) == (92001.1, 93120.49, 1119.39)
    assert (ticker.price_change_percent, ticker.volume, ticker.trades, ticker.last_id) == (
        1.217,
        8012.45,
        -1,
        1052000002,
    )
    assert ticker.weighted_average != ticker.weighted_average
    assert ticker.quote_volume != ticker.quote_volume


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2026-01-01T00:00:01Z", 1767225601000),
        ("2026-01-01T00:00:01.157Z", 1767225601157),
        ("2026-01-01T00:00:01.999999Z", 1767225601999),
        ("2026-01-01T00:00:01.228568804Z", 1767225601228),
    ],
)
def test_times_are_cut_to_milliseconds(text: str, time_ms: int) -> None:
    [trade] = events(parse(changed({"time": text})))
    assert trade.time == time_ms


def test_changes_of_a_book_have_their_time_as_id() -> None:
    [delta] = events(parse(LEVELS, line="books"))
    order = 1767225601400000
    assert delta == LineDelta("BTC-USD", 1767225601400, order, order, [(93120.0, 2.0)], [])


def test_a_whole_book_is_in_order() -> None:
    body = json.loads(LEVELS)
    level = body["events"][0]["updates"][0]
    rows = [("bid", "1"), ("bid", "3"), ("offer", "9"), ("offer", "5"), ("bid", "2"), ("offer", "7")]
    updates = [level | {"side": side, "price_level": price} for side, price in rows]
    body["events"] = [{"type": "snapshot", "product_id": "BTC-USD", "updates": updates}]
    [snapshot] = events(parse(json.dumps(body).encode(), line="books"))
    assert isinstance(snapshot, LineSnapshot)
    assert snapshot.bids == [(3.0, 2.0), (2.0, 2.0), (1.0, 2.0)]
    assert snapshot.asks == [(5.0, 2.0), (7.0, 2.0), (9.0, 2.0)]


def test_only_messages_of_subscribed_streams_pass() -> None:
    streams = StreamNames(frozenset(("ETH-USD@trade", "BTC-USD@heartbeat")), frozenset(("BTC-USD@ticker",)))
    parsed = parse(MATCH, HEARTBEAT, TICKER, streams=streams)
    assert [type(event) for event in events(parsed)] == [NewestTrade]
    assert [(one.reason, one.payload, one.count) for one in parsed.rejected] == [
        ("messages of a stream without a subscription", b"BTC-USD@trade", 1)
    ]
    assert parsed.ignored == 1


def test_what_is_no_data_is_ignored_and_what_cannot_be_read_is_refused_alone() -> None:
    streams = StreamNames(frozenset(("BTC-USD@trade",)))
    bad = changed({"price": "-1"})
    error = b'{"type":"error","message":"Failed","reason":"slow consumer"}'
    status = b'{"type":"status","products":[]}'
    parsed = parse(
        MATCH, bad, error, b"[]", b"{}", b"\xff", status, b'{"type":"subscriptions","channels":[]}', streams=streams
    )
    assert [event.id for event in events(parsed)] == [1052000002]
    assert parsed.ignored == 2
    assert [(one.symbol, one.kind) for one in parsed.rejected] == [("BTC-USD", "trade"), *[("", "")] * 4]
    assert "slow consumer" in parsed.rejected[1].reason
    assert parsed.rejected[0].payload == bad


def test_too_long_a_frame_is_refused() -> None:
    long = MATCH[:-1] + b',"x":"' + b"x" * 2_000_000 + b'"}'
    parsed = parse(long)
    assert (runs_of(parsed), len(parsed.rejected)) == ([], 1)


# --- recordings ---


def test_every_recorded_trade_is_there_without_a_hole_and_every_heartbeat_agrees() -> None:
    parser, last = CoinbaseParser("coinbase"), dict[str, int]()
    trades: defaultdict[str, list[Trade]] = defaultdict(list)
    heartbeats = 0
    for frame in exchange_frames():
        for symbol, run in runs_of(parser.parse(RawFrames("market", [frame], 0))):
            for event in run:
                if isinstance(event, Trade):
                    trades[symbol].append(event)
                    last[symbol] = event.id
                else:
                    assert isinstance(event, NewestTrade)
                    assert (event.last_id, event.event_time % 1_000) == (last[symbol], 0)
                    heartbeats += 1
    wanted: defaultdict[str, list[Trade]] = defaultdict(list)
    for m in exchange_messages():
        if m["type"] in ("match", "last_match"):
            moment = datetime.fromisoformat(m["time"])
            time = int(moment.timestamp()) * 1_000 + moment.microsecond // 1_000
            price, size = float(m["price"]), float(m["size"])
            trade = Trade(m["product_id"], m["trade_id"], time, price, size, m["side"] == "buy", time)
            wanted[m["product_id"]].append(trade)
    assert trades == wanted
    assert {symbol: len(run) for symbol, run in trades.items()} == {"BTC-USD": 345, "ETH-USD": 92}
    assert all(run[-1].id - run[0].id == len(run) - 1 for run in trades.values())
    assert heartbeats == 118


def test_a_poll_of_the_whole_recording_gives_the_same_as_frame_by_frame() -> None:
    together = CoinbaseParser("coinbase").parse(RawFrames("market", list(exchange_frames()), 0))
    data = [frame for frame in exchange_frames() if b'"subscriptions"' not in frame]
    fast = CoinbaseParser("coinbase").parse(RawFrames("market", data, 0))
    assert (together.rejected, together.ignored) == ([], len(exchange_frames()) - len(data))
    assert sorted(runs_of(together), key=str) == sorted(runs_of(fast), key=str)


def test_recorded_books_are_never_crossed_and_are_those_of_plain_sums() -> None:
    parser, books = CoinbaseParser("coinbase"), dict[str, LineBook]()
    plain: dict[str, dict[str, dict[float, float]]] = {}
    deltas = 0
    for frame in book_frames():
        for symbol, run in parser.parse(RawFrames("books", [frame], 0)).events:
            for event in run:
                if isinstance(event, LineSnapshot):
                    books[symbol] = LineBook(event, None)
                else:
                    assert isinstance(event, LineDelta)
                    assert event.last_update_id > books[symbol].order
                    assert books[symbol].take(event) == ""
                    deltas += 1
                [bid], [ask] = books[symbol].bids.best(1), books[symbol].asks.best(1)
                assert bid[0] < ask[0]
        for one in json.loads(frame)["events"]:
            sides = plain.setdefault(one["product_id"], {"bid": {}, "offer": {}})
            for level in one["updates"]:
                sides[level["side"]][float(level["price_level"])] = float(level["new_quantity"])
    for symbol, sides in plain.items():
        for ladder, side, sign in ((books[symbol].bids, "bid", -1), (books[symbol].asks, "offer", 1)):
            wanted = sorted(((p, q) for p, q in sides[side].items() if q), key=lambda level: sign * level[0])
            assert ladder.best(len(wanted) + 1) == wanted
    assert deltas == 773


def test_signs_of_life_between_books_change_nothing() -> None:
    beat = b'{"channel":"heartbeats","timestamp":"2026-01-01T00:00:01.02Z","sequence_num":3,"events":[]}'
    frames = book_frames()[:50]
    alone = CoinbaseParser("coinbase").parse(RawFrames("books", list(frames), 0))
    between = CoinbaseParser("coinbase").parse(RawFrames("books", [beat, *frames[:9], beat, *frames[9:]], 0))
    assert (between.events, between.rejected) == (alone.events, [])
    assert between.ignored == 2
    assert [deltas for _, deltas in alone.events] != []


def test_of_all_recorded_messages_of_the_advanced_feed_only_books_and_new_trades_are_data() -> None:
    parsed = CoinbaseParser("coinbase").parse(RawFrames("books", list(advanced_frames()), 0))
    assert parsed.rejected == []
    trades = [frame for frame in advanced_frames() if b'"market_trades"' in frame[:40] and b'"type":"update"' in frame]
    assert parsed.ignored == len(advanced_frames()) - len(book_frames()) - len(trades)
    assert {type(event) for event in events(parsed)} == {LineSnapshot, LineDelta, Trade}
