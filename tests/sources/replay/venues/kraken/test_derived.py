import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any

import pytest

from sources.replay.market.market import Message
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.venues.kraken.derived import KrakenDerived
from sources.replay.venues.kraken.dialect import synthetic_kraken
from tests.fakes.played import played
from tests.fakes.recordings import recording
from tests.fakes.shapes import decimals, fits, parse

BEGIN_MS = 1_767_225_600_000
DECIMALS = {"BTC/USD": 1, "ETH/USD": 2}


def market(*symbols: str, seed: int = 5) -> SyntheticMarket:
    served = synthetic_kraken(symbols or ("BTC-USD",), seed=seed, start_ms=BEGIN_MS)
    assert isinstance(served.market, SyntheticMarket)
    return served.market


def derived(source: SyntheticMarket) -> KrakenDerived:
    assert isinstance(source.derived, KrakenDerived)
    return source.derived


def of(source: SyntheticMarket, *streams: str) -> Iterator[Message]:
    return played(source, lambda stream: stream in streams)


def recorded() -> dict[str, Any]:
    """A message of each kind, as Kraken sent it."""
    found: dict[str, Any] = {}
    with gzip.open(recording("kraken-v2-2026-07-07") / "live-btc-eth.ndjson.gz") as lines:
        for line in lines:
            message = parse(line)
            kind = (message.get("channel"), message.get("type"), message.get("method"))
            rows = message.get("data") or [{}]
            is_full = all(rows[0].get(side, True) for side in ("bids", "asks"))
            if is_full or str(kind) not in found:
                found[str(kind)] = message
    return found


@pytest.mark.parametrize("stream", ["trade", "book-10"])
def test_messages_have_the_names_the_types_and_the_decimals_of_recorded_ones(stream: str) -> None:
    true = recorded()[str((stream.partition("-")[0], "update", None))]
    for symbol, places in DECIMALS.items():
        name = symbol.replace("/", "-")
        sent = [parse(message.data) for message in islice(of(market(name), f"{symbol}@{stream}"), 40)]
        assert all(fits(message, true) for message in sent)
        for message in sent:
            rows = message["data"] if stream == "trade" else [*message["data"][0]["bids"], *message["data"][0]["asks"]]
            assert all((decimals(row["price"]), decimals(row["qty"])) == (places, 8) for row in rows)


def test_the_snapshot_of_a_book_and_the_heartbeat_are_as_recorded() -> None:
    true = recorded()
    source = market()
    list(islice(of(source, "BTC/USD@book-10"), 3))
    pair = derived(source).pair("BTC/USD", source.now_ms)
    assert pair is not None
    assert fits(parse(pair.book(10, source.now_ms) or b""), true[str(("book", "snapshot", None))])
    (beat,) = islice(of(market(), "heartbeat"), 1)
    assert json.loads(beat.data) == true[str(("heartbeat", None, None))]


def test_trades_come_by_order_and_their_ids_without_a_hole() -> None:
    sent = [parse(message.data)["data"] for message in islice(of(market(), "BTC/USD@trade"), 200)]
    ids = [row["trade_id"] for rows in sent for row in rows]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert max(map(len, sent)) > 1
    assert all(len({(row["timestamp"], row["side"]) for row in rows}) == 1 for rows in sent)
    assert all(one[-1]["timestamp"] <= other[0]["timestamp"] for one, other in pairwise(sent))


def test_a_snapshot_joins_the_changes_that_follow_it() -> None:
    source = market()
    messages = of(source, "BTC/USD@book-10")
    list(islice(messages, 5))
    pair = derived(source).pair("BTC/USD", source.now_ms)
    assert pair is not None
    (book,) = parse(pair.book(10, source.now_ms) or b"")["data"]
    sides = {side: {level["price"]: level["qty"] for level in book[side]} for side in ("bids", "asks")}
    for message in islice(messages, 100):
        (row,) = parse(message.data)["data"]
        for side, sign in (("bids", -1), ("asks", 1)):
            for level in row[side]:
                if level["qty"]:
                    sides[side][level["price"]] = level["qty"]
                else:
                    del sides[side][level["price"]]  # raises for a level that was never sent
            for price in sorted(sides[side], key=lambda price, sign=sign: sign * price)[10:]:  # type: ignore[misc]
                del sides[side][price]
        best = source.markets["BTC/USD"].book()
        assert best is not None
        assert sides["bids"] == {Decimal(price): Decimal(quantity) for price, quantity in best.bids(10)}


def test_candles_follow_from_the_trades_of_their_minute() -> None:
    source = market()
    rows: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    for message in islice(of(source, "BTC/USD@trade", "BTC/USD@ohlc-1"), 300):
        if message.stream.endswith("trade"):
            rows += parse(message.data)["data"]
        else:
            (last,) = parse(message.data)["data"]
    minute = [row for row in rows if row["timestamp"][:16] == last["interval_begin"][:16]]
    assert last["trades"] == len(minute)
    assert last["close"] == minute[-1]["price"]
    assert last["volume"] == sum(row["qty"] for row in minute)
    assert (last["high"], last["low"]) == (max(row["price"] for row in minute), min(row["price"] for row in minute))
    value = sum(row["qty"] * row["price"] for row in minute) / last["volume"]
    assert abs(last["vwap"] - value) <= Decimal("0.1")


def test_the_ticker_has_the_fields_of_the_documentation() -> None:
    (message,) = islice(of(market(), "BTC/USD@ticker-bbo"), 1)
    (row,) = parse(message.data)["data"]
    assert set(row) == {
        *("symbol", "bid", "bid_qty", "ask", "ask_qty", "last", "volume", "vwap", "low", "high", "change"),
        "change_pct",
    }
    assert row["bid"] < row["ask"]


def test_the_price_is_that_of_the_binance_market_of_the_same_seed_but_for_a_little() -> None:
    def prices(source: SyntheticMarket, stream: str) -> list[tuple[int, float]]:
        found = []
        for message in islice(played(source, lambda name: name == stream), 400):
            row = json.loads(message.data)
            found.append((message.due_ms, float(row["p"] if "p" in row else row["data"][-1]["price"])))
        return found

    ours = dict(prices(market(seed=9), "BTC/USD@trade"))
    theirs = prices(SyntheticMarket("spot", ["BTCUSDT"], seed=9, start_ms=BEGIN_MS), "btcusdt@trade")
    apart = []
    for due_ms, price in theirs:
        near = min(ours, key=lambda time_ms: abs(time_ms - due_ms))
        apart.append(abs(ours[near] / price - 1))
    assert 0 < max(apart) < 0.004
    assert ours != dict(theirs)
