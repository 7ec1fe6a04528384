"""A market whose symbols are listed, halted and delisted, as its streams and REST show it."""

from collections.abc import Iterator
from itertools import pairwise, takewhile
from typing import Any

import msgspec
import pytest

from sources.replay.market.lives import Change, Life, LifeOrder
from sources.replay.market.market import PAUSE, MarketKind, Message
from sources.replay.market.playback import Playback
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.venues.coinbase.dialect import synthetic_coinbase
from sources.replay.venues.kraken.dialect import synthetic_kraken

BEGIN_MS = 1_767_225_600_000
MINUTE_MS = 60_000
LISTED, HALTED, RESUMED, DELISTED = (BEGIN_MS + minutes * MINUTE_MS for minutes in (1, 2, 5, 3))
LIVES = {
    "NEWUSDT": Life([Change(LISTED, "list")], is_listed=False),
    "ETHUSDT": Life([Change(HALTED, "halt"), Change(RESUMED, "resume")]),
    "XRPUSDT": Life([Change(DELISTED, "delist")]),
}
STATUSES = {
    "spot": ("TRADING", "HALT", "BREAK"),
    "usdm": ("TRADING", "PENDING_TRADING", "SETTLING"),
}


def market(kind: MarketKind = "spot") -> SyntheticMarket:
    symbols = ["BTCUSDT", *LIVES]
    lives = {symbol: Life(_changes(life), is_listed=life.is_listed_at_begin) for symbol, life in LIVES.items()}
    return SyntheticMarket(kind, symbols, seed=3, start_ms=BEGIN_MS, trades_per_s=2.0, lives=lives)


def _changes(life: Life) -> list[Change]:
    words = {"trading": "resume", "halted": "halt", "delisted": "delist"}
    named = [Change(turn.at_ms, words[turn.state.value]) for turn in life.turns[1:]]  # type: ignore[arg-type]
    return named if life.is_listed_at_begin else [named[0]._replace(word="list"), *named[1:]]


def until(played: Playback, time_ms: int, *streams: str) -> Iterator[Message]:
    """The messages of some streams before a time, also where none comes after it."""
    wanted = {PAUSE, *streams}.__contains__
    messages = played.play(wanted, lambda due_ms: due_ms < time_ms)
    return takewhile(lambda message: message.stream != PAUSE, messages)


def sent(played: Playback, until_ms: int, *streams: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {stream: [] for stream in streams}
    for message in until(played, until_ms, *streams):
        found[message.stream].append(msgspec.json.decode(message.data))
    return found


@pytest.mark.parametrize("kind", ["spot", "usdm"])
def test_a_halted_symbol_is_silent_and_comes_back_without_a_hole(kind: MarketKind) -> None:
    streams = ("ethusdt@aggTrade", "ethusdt@depth@100ms", "ethusdt@bookTicker", "ethusdt@kline_1m", "btcusdt@aggTrade")
    played = market(kind)
    found = sent(played, BEGIN_MS + 6 * MINUTE_MS, *streams)
    trades, books = found["ethusdt@aggTrade"], found["ethusdt@depth@100ms"]
    assert [row for name in streams[:3] for row in found[name] if HALTED + 200 < row.get("E", 0) < RESUMED] == []
    assert [after["a"] - before["a"] for before, after in pairwise(trades)] == [1] * (len(trades) - 1)
    if kind == "spot":
        assert [after["U"] - before["u"] for before, after in pairwise(books)] == [1] * (len(books) - 1)
    assert max(row["T"] for row in trades) > RESUMED
    assert any(HALTED < row["T"] < RESUMED for row in found["btcusdt@aggTrade"])
    closed = [row["k"]["t"] for row in found["ethusdt@kline_1m"] if row["k"]["x"]]
    minutes = [BEGIN_MS + minute * MINUTE_MS for minute in (0, 1, 5)]
    assert closed == minutes[: len(closed)]
    assert len(closed) >= 2
    rows = played.klines("ETHUSDT", "1m", start_ms=BEGIN_MS, end_ms=RESUMED, limit=10)
    assert [row[0] for row in rows] == minutes


@pytest.mark.parametrize("kind", ["spot", "usdm"])
def test_the_list_of_symbols_says_what_each_is(kind: MarketKind) -> None:
    played = market(kind)
    trading, halted, gone = STATUSES[kind]
    expected = {
        BEGIN_MS + 30_000: {"BTCUSDT": trading, "ETHUSDT": trading, "XRPUSDT": trading},
        LISTED + 30_000: {"BTCUSDT": trading, "NEWUSDT": trading, "ETHUSDT": trading, "XRPUSDT": trading},
        HALTED + 30_000: {"BTCUSDT": trading, "NEWUSDT": trading, "ETHUSDT": halted, "XRPUSDT": trading},
        DELISTED + 30_000: {"BTCUSDT": trading, "NEWUSDT": trading, "ETHUSDT": halted, "XRPUSDT": gone},
        RESUMED + 30_000: {"BTCUSDT": trading, "NEWUSDT": trading, "ETHUSDT": trading, "XRPUSDT": gone},
    }
    messages = played.play(lambda stream: stream == "btcusdt@trade")
    for time_ms, statuses in expected.items():
        next(message for message in messages if message.due_ms >= time_ms)
        rows = {row["symbol"]: row for row in played.exchange_info()}
        assert {symbol: row["status"] for symbol, row in rows.items()} == statuses
        if kind == "usdm" and "NEWUSDT" in rows:
            assert rows["NEWUSDT"]["onboardDate"] == LISTED
            assert (rows["XRPUSDT"]["deliveryDate"] == DELISTED) == (statuses["XRPUSDT"] == gone)


def test_a_new_symbol_has_no_past_and_counts_from_one() -> None:
    played = market()
    streams = ("newusdt@trade", "newusdt@depth@100ms", "newusdt@ticker", "newusdt@depth5", "newusdt@kline_1m")
    found = sent(played, LISTED + MINUTE_MS, *streams)
    assert found["newusdt@trade"][0]["t"] == 1
    assert min(row["E"] for name in streams if name != "newusdt@depth5" for row in found[name]) >= LISTED
    rows = played.klines("NEWUSDT", "1m", start_ms=0, end_ms=None, limit=10)
    assert [row[0] for row in rows][:1] == [LISTED]
    assert played.agg_trades("NEWUSDT", from_id=1, start_ms=None, end_ms=None, limit=1)[0]["f"] == 1


def test_a_delisted_symbol_ends_with_its_last_candle_and_keeps_its_past() -> None:
    played = market()
    found = sent(played, DELISTED + 2 * MINUTE_MS, "xrpusdt@trade", "xrpusdt@ticker", "xrpusdt@kline_1m")
    assert max(row["T"] for row in found["xrpusdt@trade"]) < DELISTED
    assert max(row["E"] for row in found["xrpusdt@ticker"]) < DELISTED + 1_000
    closed = [row["k"]["t"] for row in found["xrpusdt@kline_1m"] if row["k"]["x"]]
    assert closed[-1] == DELISTED - MINUTE_MS
    rows = played.klines("XRPUSDT", "1m", start_ms=None, end_ms=None, limit=5)
    assert rows[-1][0] <= DELISTED - MINUTE_MS


def test_contracts_that_change_are_announced() -> None:
    played = market("usdm")
    found = sent(played, BEGIN_MS + 6 * MINUTE_MS, "!contractInfo")["!contractInfo"]
    assert [(row["s"], row["cs"], row["E"] // 1_000 * 1_000) for row in found] == [
        ("NEWUSDT", "TRADING", LISTED),
        ("ETHUSDT", "PENDING_TRADING", HALTED),
        ("XRPUSDT", "SETTLING", DELISTED),
        ("ETHUSDT", "TRADING", RESUMED),
    ]
    assert (found[0]["ot"], found[2]["dt"]) == (LISTED, DELISTED)


def test_an_order_reaches_the_market_that_is_played() -> None:
    played = SyntheticMarket("spot", ["BTCUSDT"], seed=3, start_ms=BEGIN_MS, trades_per_s=100.0)
    messages = until(played, BEGIN_MS + 3 * MINUTE_MS, "btcusdt@trade")
    first = next(messages)
    played.lives.order(LifeOrder("BTCUSDT", "halt", for_s=30), played.now_ms)
    halted, resumed = (turn.at_ms for turn in played.lives.life("BTCUSDT").turns[1:])
    assert resumed - halted == 30_000
    times = [msgspec.json.decode(message.data)["T"] for message in (first, *messages)]
    assert [time_ms for time_ms in times if halted <= time_ms < resumed] == []
    assert times[0] < halted
    assert times[-1] > resumed


def test_kraken_and_coinbase_say_it_in_their_words() -> None:
    lives = {"ETH-USD": Life([Change(HALTED, "halt")]), "XRP-USD": Life([Change(LISTED, "list")], is_listed=False)}
    symbols = ["BTC-USD", *lives]
    kraken = synthetic_kraken(symbols, seed=3, start_ms=BEGIN_MS, trades_per_s=2.0, lives=lives).market
    found = sent(kraken, HALTED + MINUTE_MS, "instrument")["instrument"]
    assert [(one["type"], [(row["symbol"], row["status"]) for row in one["data"]["pairs"]]) for one in found] == [
        ("update", [("XRP/USD", "online")]),
        ("update", [("ETH/USD", "cancel_only")]),
    ]
    coinbase = synthetic_coinbase(symbols, seed=3, start_ms=BEGIN_MS, trades_per_s=2.0, lives=lives).market
    statuses = [
        {row["id"]: (row["status"], row["trading_disabled"]) for row in one["products"]}
        for one in sent(coinbase, HALTED + MINUTE_MS, "status")["status"]
    ]
    online = ("online", False)
    assert statuses[0] == {"BTC-USD": online, "ETH-USD": online}
    assert statuses[-1] == {"BTC-USD": online, "ETH-USD": ("offline", True), "XRP-USD": online}
