from collections import Counter
from decimal import Decimal
from itertools import islice, pairwise, takewhile
from math import log
from statistics import correlation
from typing import Any

import msgspec
import pytest

from sources.replay.market.book import Book, DepthSnapshot, decode_update
from sources.replay.market.market import MarketKind, Message
from sources.replay.synthetic.market import SyntheticMarket

pytestmark = pytest.mark.slow

START_MS = 1_760_000_025_000
KINDS: tuple[MarketKind, ...] = ("spot", "usdm")


def market(kind: MarketKind = "spot", *, seed: int = 7, trades_per_s: float = 40.0) -> SyntheticMarket:
    return SyntheticMarket(kind, ["BTCUSDT", "FOOUSDT"], seed=seed, start_ms=START_MS + 345, trades_per_s=trades_per_s)


def take(played: SyntheticMarket, count: int, *streams: str) -> list[Message]:
    return list(islice(played.play(set(streams).__contains__), count))


def payloads(messages: list[Message], channel: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(message.data) for message in messages if message.stream.endswith(channel)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_whoever_listens(kind: MarketKind) -> None:
    streams = ["btcusdt@aggTrade", "foousdt@trade", "btcusdt@depth", "btcusdt@bookTicker"]
    first, second = take(market(kind), 4_000, *streams), take(market(kind), 4_000, *streams)
    assert first == second
    foo = [message for message in first if message.stream == "foousdt@trade"]
    assert take(market(kind), len(foo), "foousdt@trade") == foo
    assert take(market(kind, seed=8), 100, *streams) != first[:100]


@pytest.mark.parametrize("kind", KINDS)
def test_trades_and_aggregates_agree_and_never_skip_an_id(kind: MarketKind) -> None:
    messages = take(market(kind), 5_000, "btcusdt@trade", "btcusdt@aggTrade")
    trades, aggregates = payloads(messages, "@trade"), payloads(messages, "@aggTrade")
    assert all(before["t"] + 1 == after["t"] and before["T"] <= after["T"] for before, after in pairwise(trades))
    assert all(
        before["a"] + 1 == after["a"] and before["l"] + 1 == after["f"] for before, after in pairwise(aggregates)
    )
    assert all(Decimal(trade["q"]) > 0 and Decimal(trade["p"]) > 0 for trade in trades)
    by_id = {trade["t"]: trade for trade in trades}
    for aggregate in aggregates:
        fills = [by_id[trade_id] for trade_id in range(aggregate["f"], aggregate["l"] + 1)]
        assert {(fill["p"], fill["T"], fill["m"]) for fill in fills} == {
            (aggregate["p"], aggregate["T"], aggregate["m"])
        }
        assert sum(Decimal(fill["q"]) for fill in fills) == Decimal(aggregate["q"])
    assert any(aggregate["f"] < aggregate["l"] for aggregate in aggregates)


@pytest.mark.parametrize("kind", KINDS)
def test_the_book_chains_and_its_top_is_the_quote_that_trades_hit(kind: MarketKind) -> None:
    played = market(kind)
    book, previous, quote = None, None, None
    wanted = {"foousdt@depth@100ms", "foousdt@bookTicker", "foousdt@aggTrade"}
    for message in islice(played.play(wanted.__contains__), 6_000):
        if message.stream.endswith("aggTrade"):
            trade = msgspec.json.decode(message.data)
            assert quote is not None
            assert trade["p"] == (quote["b"] if trade["m"] else quote["a"])
        elif message.stream.endswith("bookTicker"):
            quote = msgspec.json.decode(message.data)
            assert Decimal(quote["b"]) < Decimal(quote["a"])
        else:
            update = decode_update(message.data)
            if previous is not None:
                assert update.first_id == previous + 1 if kind == "spot" else update.previous_id == previous
            previous = update.last_id
            if book is None:
                snapshot = played.depth("FOOUSDT", 5_000)
                assert snapshot is not None
                book = Book(DepthSnapshot(snapshot["lastUpdateId"], snapshot["bids"], snapshot["asks"]))
            book.apply(update)
            assert quote is not None
            assert book.best_bid() == (quote["b"], quote["B"])
            assert book.best_ask() == (quote["a"], quote["A"])
    assert book is not None
    assert played.depth("FOOUSDT", 1_000) == book.snapshot(1_000, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_closed_klines_equal_a_recount_of_the_trades(kind: MarketKind) -> None:
    messages = take(market(kind, trades_per_s=15.0), 5_000, "btcusdt@trade", "btcusdt@kline_1m")
    klines = {k["t"]: k for push in payloads(messages, "@kline_1m") if (k := push["k"])["x"]}
    trades = payloads(messages, "@trade")
    whole = [open_ms for open_ms in klines if open_ms >= START_MS]
    assert len(whole) >= 2
    for open_ms in whole:
        fills = [trade for trade in trades if open_ms <= trade["T"] < open_ms + 60_000]
        prices = [Decimal(fill["p"]) for fill in fills]
        sizes = [Decimal(fill["q"]) for fill in fills]
        taken = [i for i, fill in enumerate(fills) if not fill["m"]]
        kline = klines[open_ms]
        found = [Decimal(kline[name]) for name in ("o", "h", "l", "c", "v", "q", "V", "Q")]
        quotes = [price * size for price, size in zip(prices, sizes, strict=True)]
        assert found == [
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum(sizes),
            sum(quotes),
            sum(sizes[i] for i in taken),
            sum(quotes[i] for i in taken),
        ]
        assert (kline["n"], kline["f"], kline["L"]) == (len(fills), fills[0]["t"], fills[-1]["t"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_interval_has_a_thousand_klines_and_longer_ones_are_made_of_shorter(kind: MarketKind) -> None:
    played = market(kind)
    take(played, 3_000, "btcusdt@trade")
    for interval in ("1m", "5m", "15m", "1h", "4h", "1d", "1w"):
        rows = played.klines("BTCUSDT", interval, start_ms=None, end_ms=None, limit=1_000)
        assert len(rows) == 1_000
        assert all(before[6] + 1 == after[0] for before, after in pairwise(rows))
        assert all(Decimal(row[3]) <= min(Decimal(row[1]), Decimal(row[4])) for row in rows)
    for short, long, ratio in (("1m", "5m", 5), ("5m", "1h", 12), ("1h", "1d", 24)):
        (whole,) = played.klines("BTCUSDT", long, start_ms=None, end_ms=START_MS - 2 * 86_400_000, limit=1)
        parts = played.klines("BTCUSDT", short, start_ms=whole[0], end_ms=whole[6], limit=1_000)
        assert len(parts) == ratio
        assert (parts[0][1], parts[-1][4]) == (whole[1], whole[4])
        assert Decimal(whole[2]) == max(Decimal(part[2]) for part in parts)
        assert Decimal(whole[3]) == min(Decimal(part[3]) for part in parts)
        for column in (5, 7, 8, 9, 10):
            assert Decimal(whole[column]) == sum(Decimal(part[column]) for part in parts)


def test_the_running_kline_of_rest_is_the_streams() -> None:
    played = market()
    pushed = payloads(take(played, 40, "btcusdt@kline_1h"), "@kline_1h")[-1]["k"]
    row = played.klines("BTCUSDT", "1h", start_ms=None, end_ms=None, limit=1)[0]
    assert row[:6] == [pushed[name] for name in "tohlcv"]
    assert (row[7], row[8]) == (pushed["q"], pushed["n"])
    assert pushed["L"] - pushed["f"] + 1 == pushed["n"]


def test_the_ticker_is_the_day_before_now() -> None:
    played = market()
    ticker = payloads(take(played, 3_000, "btcusdt@trade", "btcusdt@ticker"), "@ticker")[-1]
    assert ticker["C"] - ticker["O"] == 86_400_000
    assert ticker["L"] - ticker["F"] + 1 == ticker["n"]
    assert Decimal(ticker["c"]) - Decimal(ticker["o"]) == Decimal(ticker["p"])
    assert Decimal(ticker["l"]) <= Decimal(ticker["w"]) <= Decimal(ticker["h"])
    minute = ticker["O"] - ticker["O"] % 60_000 + 60_000
    minutes = [
        row
        for begin in (minute, minute + 1_000 * 60_000)
        for row in played.klines("BTCUSDT", "1m", start_ms=begin, end_ms=ticker["E"], limit=1_000)
    ]
    assert Decimal(ticker["h"]) == max(Decimal(row[2]) for row in minutes)


def test_it_begins_at_a_whole_second_and_goes_on_with_the_ids_of_its_past() -> None:
    played = market()
    assert played.now_ms == START_MS
    past = played.agg_trades("BTCUSDT", from_id=None, start_ms=None, end_ms=None, limit=5)
    assert all(row["T"] < START_MS for row in past)
    assert played.depth("BTCUSDT", 5) is None
    first = take(played, 1, "btcusdt@trade")[0]
    assert msgspec.json.decode(first.data)["t"] == past[-1]["l"] + 1
    assert 0 <= first.due_ms - START_MS < 5_000
    assert Decimal(msgspec.json.decode(first.data)["p"]) == pytest.approx(60_000, rel=0.01)


def test_the_rate_is_what_was_asked_for() -> None:
    messages = take(market(trades_per_s=200.0), 20_000, "btcusdt@trade", "foousdt@trade")
    per_s = len(messages) / 2 / (messages[-1].due_ms - messages[0].due_ms) * 1_000
    assert 200 * 0.4 < per_s < 200 * 1.5


def mids_by_second(messages: list[Message], symbol: str) -> list[float]:
    """The middle between bid and ask at the end of each second."""
    mids: dict[int, float] = {}
    for message in messages:
        if message.stream == f"{symbol}@bookTicker":
            quote = msgspec.json.decode(message.data)
            mids[message.due_ms // 1_000] = (float(quote["b"]) + float(quote["a"])) / 2
    return [mids[second] for second in sorted(mids)]


def test_prices_have_a_part_in_common_and_a_quiet_symbol_trades_seldom() -> None:
    played = SyntheticMarket(
        "spot", ["BTCUSDT", "ETHUSDT", "PEPEUSDT"], seed=7, start_ms=START_MS, trades_per_s=1.0, quiet={"PEPEUSDT"}
    )
    wanted = {"btcusdt@bookTicker", "ethusdt@bookTicker", "pepeusdt@trade", "btcusdt@trade"}
    messages = list(takewhile(lambda one: one.due_ms < START_MS + 600_000, played.play(wanted.__contains__)))
    bitcoin, ether = (mids_by_second(messages, symbol) for symbol in ("btcusdt", "ethusdt"))
    steps = [[log(after / before) for before, after in pairwise(mids)] for mids in (bitcoin, ether)]
    assert 0.3 < correlation(*steps) < 0.7
    counts = Counter(message.stream for message in messages)
    assert 1 <= counts["pepeusdt@trade"] < 40 < counts["btcusdt@trade"]


@pytest.mark.parametrize("symbol", ["PEPEUSDT", "SHIBUSDT", "币安人生USDT"])
def test_prices_of_few_ticks_stay_prices_and_the_book_has_both_sides(symbol: str) -> None:
    played = SyntheticMarket("spot", [symbol], seed=7, start_ms=START_MS, trades_per_s=40.0)
    trades = payloads(take(played, 2_000, f"{symbol.lower()}@trade"), "@trade")
    assert all(Decimal(trade["p"]) > 0 and Decimal(trade["q"]) > 0 for trade in trades)
    book = played.depth(symbol, 5_000)
    assert book is not None
    assert min(len(book["bids"]), len(book["asks"])) > 100
    assert Decimal(book["bids"][-1][0]) > 0
    assert Decimal(book["bids"][0][0]) < Decimal(book["asks"][0][0])
