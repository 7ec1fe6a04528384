"""The clock of a market: what leaves when, from small tapes of one's own."""

from pathlib import Path
from typing import Any

import msgspec
import zstandard

from sources.replay.market.market import PAUSE, Market, MarketKind
from sources.replay.tape.tapes import load_tapes

BEGIN_MS = 1_700_000_040_000  # a whole minute


def trade(
    trade_id: int, at_ms: int, price: str, quantity: str = "1.00000000", *, late_ms: int = 0
) -> tuple[str, dict[str, Any]]:
    time = BEGIN_MS + at_ms
    data = {"e": "trade", "E": time + late_ms, "s": "XUSDT", "t": trade_id, "p": price, "q": quantity}
    return "xusdt@trade", data | {"T": time, "m": False, "M": True}


def load(tmp_path: Path, *messages: tuple[str, dict[str, Any]], kind: MarketKind = "spot") -> Market:
    venue = "binance" if kind == "spot" else "binance-usdm"
    lines = [{"format": "marketflow-tape", "version": 1, "venue": venue, "symbols": ["XUSDT"], "started_ns": 0}]
    texts = [msgspec.json.encode(line) for line in lines]
    for number, (stream, data) in enumerate(messages):
        envelope = {"rest": stream, "data": data} if stream.startswith("/") else {"stream": stream, "data": data}
        texts.append(b"%d %b" % (number, msgspec.json.encode(envelope)))
    path = tmp_path / "x.tape.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"\n".join(texts) + b"\n"))
    return load_tapes([path], kind=kind)


def klines(market: Market, stream: str) -> list[tuple[int, dict[str, Any]]]:
    return [
        (message.due_ms - BEGIN_MS, msgspec.json.decode(message.data)["k"])
        for message in market.play({stream}.__contains__)
    ]


def test_a_kline_forms_at_its_pace_closes_a_little_late_and_is_flat_without_trades(tmp_path: Path) -> None:
    market = load(
        tmp_path,
        trade(1, 500, "10.0"),
        trade(2, 1_500, "12.0"),
        trade(3, 2_500, "11.0"),
        trade(4, 59_999, "9.0"),
        trade(5, 181_000, "13.0"),
        trade(6, 182_500, "13.0"),
    )
    seen = [(at, k["x"], k["o"], k["c"], k["n"], k["f"], k["L"]) for at, k in klines(market, "xusdt@kline_1m")]
    ten, nine, twelve, thirteen = "10.00000000", "9.00000000", "12.00000000", "13.00000000"
    assert seen == [
        (1_020, False, ten, ten, 1, 1, 1),
        (3_020, False, ten, "11.00000000", 3, 1, 3),
        (60_020, True, ten, nine, 4, 1, 4),
        (60_020, False, nine, nine, 0, -1, -1),
        (120_020, True, nine, nine, 0, -1, -1),
        (180_020, True, nine, nine, 0, -1, -1),
        (181_020, False, thirteen, thirteen, 1, 5, 5),
    ]
    assert twelve > ten


def test_a_period_closes_only_when_its_last_trade_has_left(tmp_path: Path) -> None:
    market = load(tmp_path, trade(1, 500, "10.0"), trade(2, 59_990, "7.0", late_ms=300), trade(3, 62_000, "8.0"))
    closed = [(at, k["L"], k["l"]) for at, k in klines(market, "xusdt@kline_1m") if k["x"]]
    assert closed == [(61_020, 2, "7.00000000")]


def test_a_stream_may_be_wanted_in_the_middle(tmp_path: Path) -> None:
    trades = [trade(i, i * 1_000 + 500, str(i)) for i in range(1, 130)]
    market, wanted = load(tmp_path, *trades), set[str]()
    wanted.add("xusdt@trade")
    streams = []
    for number, message in enumerate(market.play(wanted.__contains__)):
        streams.append(message.stream)
        if number == 70:
            wanted.add("xusdt@kline_1m")
            wanted.discard("xusdt@trade")
        if len(streams) == 72:
            kline = msgspec.json.decode(message.data)["k"]
            assert (kline["t"], kline["f"], kline["L"], kline["x"]) == (BEGIN_MS + 60_000, 60, 71, False)
    assert streams[:71] == ["xusdt@trade"] * 71
    assert set(streams[71:]) == {"xusdt@kline_1m"}


def test_rest_knows_no_trade_that_the_streams_of_its_kind_have_not_told(tmp_path: Path) -> None:
    """Klines count single trades: they too wait, where only aggregates are wanted."""
    market = load(tmp_path, trade(1, 500, "10.0"), trade(2, 1_500, "12.0"), trade(3, 2_500, "11.0"))
    now_ms, told = BEGIN_MS, 0

    def is_due(due_ms: int) -> bool:
        return due_ms <= now_ms

    for message in market.play({"xusdt@aggTrade"}.__contains__, is_due):
        if message.stream == PAUSE:
            known = market.trades("XUSDT", from_id=None, limit=10)
            [*_, running] = market.klines("XUSDT", "1m", start_ms=None, end_ms=None, limit=1) or [[0] * 12]
            assert [row["time"] for row in known if row["time"] > now_ms] == []
            assert running[8] == told
            now_ms = message.due_ms
        else:
            told = msgspec.json.decode(message.data)["l"]
    assert told == 3


def test_tickers_leave_every_second(tmp_path: Path) -> None:
    market = load(tmp_path, trade(1, 100, "10.0"), trade(2, 1_100, "8.0", "3.0"), trade(3, 3_100, "8.0"))
    wanted = {"xusdt@ticker", "!miniTicker@arr"}
    messages = [(m.due_ms - BEGIN_MS, m.stream, msgspec.json.decode(m.data)) for m in market.play(wanted.__contains__)]
    assert [(at, stream) for at, stream, _ in messages] == [
        *((at, stream) for at in (1_020, 2_020) for stream in ("xusdt@ticker", "!miniTicker@arr")),
        (3_020, "xusdt@ticker"),  # and in the stream of all symbols nothing has changed
    ]
    ticker, (mini,) = messages[2][2], messages[3][2]
    assert (ticker["o"], ticker["c"], ticker["v"]) == ("10.00000000", "8.00000000", "4.00000000")
    assert (ticker["P"], ticker["w"], ticker["Q"]) == ("-20.000", "8.50000000", "3.00000000")
    assert (mini["s"], mini["q"]) == ("XUSDT", "34.00000000")


def test_recorded_klines_are_played_and_not_derived(tmp_path: Path) -> None:
    kline = {"e": "kline", "E": BEGIN_MS + 60_100, "s": "XUSDT", "k": {"t": BEGIN_MS, "i": "1m", "x": True}}
    market = load(tmp_path, trade(1, 500, "10.0"), ("xusdt@kline_1m", kline), trade(2, 125_000, "10.0"))
    assert [k for _, k in klines(market, "xusdt@kline_1m")] == [kline["k"]]


def test_fills_that_are_no_market_fills_move_nothing(tmp_path: Path) -> None:
    fund = trade(2, 600, "99.0")
    fund[1].update(X="INSURANCE_FUND")
    market = load(tmp_path, trade(1, 500, "10.0"), fund, trade(3, 700, "11.0"), kind="usdm")
    pushed = [msgspec.json.decode(m.data) for m in market.play({"xusdt@trade", "xusdt@aggTrade"}.__contains__)]
    assert [push.get("X") for push in pushed if push["e"] == "trade"] == [None, "INSURANCE_FUND", None]
    assert [(push["f"], push["l"]) for push in pushed if push["e"] == "aggTrade"] == [(1, 1), (3, 3)]
    (row,) = market.klines("XUSDT", "1m", start_ms=None, end_ms=None, limit=5)
    assert (row[2], row[8]) == ("11.0", 2)


def test_quotes_come_from_the_book_where_the_tape_has_none(tmp_path: Path) -> None:
    book = {"lastUpdateId": 5, "bids": [["1.0", "2.0"]], "asks": [["3.0", "4.0"]]}
    diff = {"e": "depthUpdate", "E": BEGIN_MS, "s": "XUSDT", "U": 6, "u": 7, "b": [["2.0", "1.0"]], "a": []}
    market = load(tmp_path, ("/api/v3/depth?symbol=XUSDT&limit=1000", book), ("xusdt@depth@100ms", diff))
    (message,) = market.play({"xusdt@bookTicker"}.__contains__)
    assert msgspec.json.decode(message.data) == {"u": 7, "s": "XUSDT", "b": "2.0", "B": "1.0", "a": "3.0", "A": "4.0"}
    assert market.book_ticker("XUSDT") == {
        "symbol": "XUSDT",
        "bidPrice": "2.0",
        "bidQty": "1.0",
        "askPrice": "3.0",
        "askQty": "4.0",
    }
    assert market.ticker("XUSDT")["lastPrice"] == "0.00000000"
    assert market.klines("XUSDT", "1m", start_ms=None, end_ms=None, limit=5) == []


def test_rest_klines_by_range(tmp_path: Path) -> None:
    market = load(tmp_path, *(trade(i, i * 60_000, str(10 + i)) for i in range(6)))
    list(market.play(lambda _: False))

    def opens(**limits: int | None) -> list[int]:
        asked = {"start_ms": None, "end_ms": None, "limit": 500} | limits
        rows = market.klines("XUSDT", "1m", **asked)  # type: ignore[arg-type]
        return [(row[0] - BEGIN_MS) // 60_000 for row in rows]

    assert opens() == [0, 1, 2, 3, 4, 5]
    assert opens(limit=2) == [4, 5]
    assert opens(end_ms=BEGIN_MS + 179_999, limit=2) == [1, 2]
    assert opens(start_ms=BEGIN_MS + 1, limit=2) == [1, 2]
    assert opens(start_ms=BEGIN_MS + 60_000, end_ms=BEGIN_MS + 120_000) == [1, 2]
    assert opens(start_ms=BEGIN_MS + 999_999) == []
    assert opens(start_ms=0, limit=1) == [0]
