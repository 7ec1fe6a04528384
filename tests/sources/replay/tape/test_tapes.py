"""The recordings against what the exchange itself said of the same minutes."""

import csv
import gzip
import math
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.clock import wall_ms
from sources.replay.market.book import Book, decode_snapshot, decode_update
from sources.replay.market.market import Market, MarketKind, Message
from sources.replay.tape.tapes import load_tapes
from tests.fakes.tapes import market_of

DATA = Path(__file__).parents[4].parent / "shared" / "data"
SPOT = DATA / "binance-spot-2024-08-08"
USDM = DATA / "binance-usdm-2024-08-08"
PEPE = DATA / "binance-spot-pepeusdt-2024-10-27"
TRX = DATA / "binance-spot-trxusdt-2025-03-04"
OFFICIAL = DATA / "official-klines"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recordings are not here: {DATA}")

_FIELDS = {"t": 0, "o": 1, "h": 2, "l": 3, "c": 4, "v": 5, "q": 6, "n": 7, "V": 8, "Q": 9}


def play(market: Market, *streams: str) -> list[Message]:
    return list(market.play(set(streams).__contains__))


def official(path: Path) -> dict[int, dict[str, float]]:
    """The official klines by open time; what the file leaves empty is left out."""
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    return {int(row[0]): {name: float(row[at]) for name, at in _FIELDS.items() if row[at]} for row in rows}


def closed(messages: Iterable[Message]) -> dict[int, dict[str, Any]]:
    klines = [msgspec.json.decode(message.data)["k"] for message in messages]
    return {kline["t"]: kline for kline in klines if kline["x"]}


def assert_equal(klines: dict[int, dict[str, Any]], expected: dict[int, dict[str, float]]) -> None:
    for open_ms, fields in expected.items():
        found = {name: float(klines[open_ms][name]) for name in fields}
        # The official files have been through float64, in which a day's quote volume lacks its last digit.
        if abs(found.get("q", 0.0) - fields.get("q", 0.0)) <= math.ulp(fields.get("q", 0.0)):
            found |= {name: fields[name] for name in ("q",) if name in fields}
        assert found == fields


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_spot_klines_are_the_official_ones(symbol: str) -> None:
    market = market_of([SPOT], kind="spot")
    expected = official(OFFICIAL / f"binance_spot_{symbol}_5m_2024-08-08T2355_10m.csv")
    assert len(expected) == 2
    assert_equal(closed(play(market, f"{symbol.lower()}@kline_5m")), expected)


@pytest.mark.slow
def test_futures_klines_are_the_official_ones() -> None:
    market = market_of([USDM], kind="usdm")
    path = OFFICIAL / "binance_usdm_BTCUSDT_1m_2024-08-08T2354_12m.csv"
    begin, end = 1_723_161_300_000, 1_723_161_600_000
    expected = {at: kline for at, kline in official(path).items() if begin <= at < end}
    assert len(expected) == 5
    assert_equal(closed(play(market, "btcusdt@kline_1m")), expected)


@pytest.mark.slow
def test_a_whole_day_of_klines_is_the_official_one() -> None:
    market = market_of([PEPE], kind="spot")
    intervals = {"3m": 480, "30m": 48, "1d": 1}
    messages = play(market, *(f"pepeusdt@kline_{interval}" for interval in intervals))
    for interval, count in intervals.items():
        expected = official(PEPE / f"binance_spot_PEPEUSDT_{interval}_2024-10-27.csv")
        assert len(expected) == count
        assert_equal(closed(one for one in messages if one.stream == f"pepeusdt@kline_{interval}"), expected)
        rows = market.klines("PEPEUSDT", interval, start_ms=1_729_987_200_000, end_ms=1_730_073_599_999, limit=1000)
        names = "tohlcvTqnVQB"
        assert_equal({row[0]: dict(zip(names, row, strict=True)) for row in rows}, expected)


def test_microsecond_trades_make_the_official_klines() -> None:
    market = market_of([TRX], kind="spot")
    expected = official(TRX / "binance_spot_TRXUSDT_5m_2025-03-04T0000_45m.csv")
    assert len(expected) == 9
    assert_equal(closed(play(market, "trxusdt@kline_5m")), expected)


def top(book: Book) -> tuple[Any, ...]:
    return (*(book.best_bid() or ()), *(book.best_ask() or ()))


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "kind"), [(SPOT, "spot"), (USDM, "usdm")])
def test_the_documented_sync_of_a_book_leads_to_the_best_prices(folder: Path, kind: MarketKind) -> None:
    """Diffs first, then the REST snapshot, then the rest; wherever a quote and the book have one id they are equal."""
    market = market_of([folder], kind=kind)
    wanted = {"btcusdt@depth@100ms" if kind == "spot" else "btcusdt@depth@0ms", "btcusdt@bookTicker"}
    assert market.depth("BTCUSDT", 1000) is None
    book, buffered, quotes, compared = None, [], {}, 0
    for message in market.play(wanted.__contains__):
        if message.stream.endswith("bookTicker"):
            quote = msgspec.json.decode(message.data)
            quotes[quote["u"]] = (quote["b"], quote["B"], quote["a"], quote["A"])
            continue
        update = decode_update(message.data)
        buffered.append(update)
        if book is None and len(buffered) > 20:
            book = Book(decode_snapshot(msgspec.json.encode(market.depth("BTCUSDT", 5000))))
            assert book.last_id == update.last_id
        elif book is not None:
            previous = buffered[-2].last_id
            assert update.first_id == previous + 1 if kind == "spot" else update.previous_id == previous
            book.apply(update)
            if update.last_id in quotes:
                assert top(book) == quotes[update.last_id]
                compared += 1
    assert compared > 500 if kind == "spot" else compared > 0
    assert book is not None
    assert market.depth("BTCUSDT", 50) == book.snapshot(50, kind)


@pytest.mark.slow
def test_the_first_snapshot_fits_into_the_diffs() -> None:
    market = market_of([SPOT], kind="spot")
    snapshot = None
    for message in market.play({"btcusdt@depth@100ms"}.__contains__):
        update = decode_update(message.data)
        if snapshot is not None:
            assert snapshot["lastUpdateId"] == 50_093_239_218
            assert update.first_id <= snapshot["lastUpdateId"] + 1 <= update.last_id
            break
        snapshot = market.depth("BTCUSDT", 1)
    assert snapshot is not None


@pytest.mark.slow
def test_partial_depth_is_the_top_of_the_book() -> None:
    market = market_of([USDM], kind="usdm")
    last = None
    for message in market.play({"ethusdt@depth5@100ms"}.__contains__):
        last = msgspec.json.decode(message.data)
        assert (len(last["b"]), len(last["a"]), last["s"]) == (5, 5, "ETHUSDT")
    snapshot = market.depth("ETHUSDT", 5)
    assert last is not None
    assert snapshot is not None
    assert (last["b"], last["a"]) == ([list(x) for x in snapshot["bids"]], [list(x) for x in snapshot["asks"]])


@pytest.mark.slow
def test_recorded_trades_are_played_as_they_came_and_known_to_rest_only_then() -> None:
    market = market_of([SPOT], kind="spot")
    assert market.trades("BTCUSDT", from_id=None, limit=10) == []
    seen: list[dict[str, Any]] = []
    for message in market.play({"btcusdt@trade"}.__contains__):
        seen.append(msgspec.json.decode(message.data))
        assert message.due_ms == market.now_ms >= seen[-1]["E"]
        if len(seen) == 500:
            newest = market.trades("BTCUSDT", from_id=None, limit=3)
            assert [row["id"] for row in newest] == [trade["t"] for trade in seen[-3:]]
            assert [row["price"] for row in newest] == [trade["p"] for trade in seen[-3:]]
            break
    older = market.trades("BTCUSDT", from_id=seen[100]["t"], limit=5)
    assert [row["id"] for row in older] == [trade["t"] for trade in seen[100:105]]


@pytest.mark.slow
def test_rest_aggregates_are_the_streams() -> None:
    market = market_of([USDM], kind="usdm")
    pushed = [msgspec.json.decode(message.data) for message in play(market, "btcusdt@aggTrade")]
    ids = [push["a"] for push in pushed]
    assert ids == list(range(1, len(ids) + 1))
    rows = market.agg_trades("BTCUSDT", from_id=101, start_ms=None, end_ms=None, limit=500)
    names = ("a", "p", "q", "nq", "f", "l", "T", "m")
    assert [{name: row[name] for name in names} for row in rows] == [
        {name: push[name] for name in names} for push in pushed[100:600]
    ]
    begin, end = pushed[50]["T"], pushed[80]["T"]
    between = market.agg_trades("BTCUSDT", from_id=None, start_ms=begin, end_ms=end, limit=1000)
    assert [row["a"] for row in between] == [push["a"] for push in pushed if begin <= push["T"] <= end]


@pytest.mark.slow
def test_single_trades_out_of_aggregates() -> None:
    market = market_of([PEPE], kind="spot")
    trades = [msgspec.json.decode(message.data) for message in play(market, "pepeusdt@trade")]
    assert len(trades) == 392_176
    assert [trade["t"] for trade in trades] == list(range(trades[0]["t"], trades[0]["t"] + len(trades)))


@pytest.mark.slow
def test_history_leads_into_the_tape() -> None:
    """The period in which the tape begins closes as the exchange's did; the day, as the hours that make it."""
    history = DATA / "kline-history"
    market = market_of([SPOT], kind="spot", history=history)
    klines = closed(play(market, "btcusdt@kline_5m"))
    with gzip.open(history / "binance_spot_BTCUSDT_5m.csv.gz", "rt") as file:
        begun = next(row for row in csv.reader(file) if row[0] == "1723161000000")
    assert_equal(klines, {1_723_161_000_000: dict(zip("tohlcv", map(float, begun), strict=True))})
    rows = market.klines("BTCUSDT", "5m", start_ms=1_723_160_700_000, end_ms=None, limit=3)
    assert [row[0] for row in rows] == [1_723_160_700_000, 1_723_161_000_000, 1_723_161_300_000]
    day = market.klines("BTCUSDT", "1d", start_ms=None, end_ms=None, limit=2)[0]
    hours = market.klines("BTCUSDT", "1h", start_ms=day[0], end_ms=day[6], limit=24)
    assert Decimal(day[5]) == sum(Decimal(hour[5]) for hour in hours)
    assert (day[2], day[3]) == (max(hour[2] for hour in hours), min(hour[3] for hour in hours))


@pytest.mark.slow
def test_rest_does_not_know_the_future() -> None:
    """Before anything was played it knows the history up to the tape, and of the period in between its own share."""
    market = market_of([SPOT], kind="spot", history=DATA / "kline-history")
    rest = market.klines("BTCUSDT", "5m", start_ms=None, end_ms=None, limit=1)[0]
    assert market.agg_trades("BTCUSDT", from_id=None, start_ms=None, end_ms=None, limit=9) == []
    whole = closed(play(market, "btcusdt@kline_5m"))[rest[0]]
    shares = [
        Decimal(msgspec.json.decode(message.data)["q"])
        for message in play(market_of([SPOT], kind="spot"), "btcusdt@trade")
        if message.due_ms < rest[6]
    ]
    assert Decimal(whole["v"]) == Decimal(rest[5]) + sum(shares)


def test_now_moves_everything_by_whole_minutes() -> None:
    before = wall_ms()
    moved = market_of([TRX], kind="spot", times="now")
    shifts = set()
    for shown, original in zip(
        play(moved, "trxusdt@trade"), play(market_of([TRX], kind="spot"), "trxusdt@trade"), strict=True
    ):
        new, old = msgspec.json.decode(shown.data), msgspec.json.decode(original.data)
        shifts |= {shown.due_ms - original.due_ms, new["T"] - old["T"], new["E"] - old["E"]}
        assert (new["t"], new["p"], new["q"], new["m"]) == (old["t"], old["p"], old["q"], old["m"])
    (shift,) = shifts
    assert shift % 60_000 == 0
    assert before - 60_000 < 1_741_046_401_271 + shift <= wall_ms()


@pytest.mark.parametrize("name", ["BINANCE", "BINANCE_US", "BINANCE_FUTURES"])
def test_captures_play(name: str) -> None:
    kind: MarketKind = "usdm" if "FUTURES" in name else "spot"
    market = market_of([DATA / "captures" / f"{name}.ws.1.0"], kind=kind)
    recorded = [line for line in (DATA / "captures" / f"{name}.ws.1.0").read_text().splitlines() if "@aggTrade" in line]
    symbols = {row["symbol"].lower() for row in market.exchange_info()}
    pushed = play(market, *(f"{symbol}@aggTrade" for symbol in symbols))
    assert len(pushed) == len(recorded) - 1  # the first line is the address, which names the streams


def test_paths_that_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to play"):
        load_tapes([tmp_path], kind="spot")
    (tmp_path / "music.mp3").touch()
    with pytest.raises(ValueError, match="its name is not"):
        load_tapes([tmp_path / "music.mp3"], kind="spot")


@pytest.mark.parametrize("name", ["nosuch", "nosuch.tape", "nosuch.tape.zst", "nosuch.csv"])
def test_a_path_that_is_not_there_is_no_such_file_whatever_its_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no such file: '{tmp_path / name}'"):
        load_tapes([tmp_path / name], kind="spot")
