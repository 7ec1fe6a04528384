from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sources.replay.market.book import Book, DepthSnapshot, decode_update
from sources.replay.market.market import MarketKind, Message
from sources.replay.tape.loops import decode_update_id
from tests.fakes.recordings import recording
from tests.fakes.tapes import market_of

FOLDERS: dict[MarketKind, str] = {"spot": "binance-spot-2024-08-08", "usdm": "binance-usdm-2024-08-08"}


@pytest.fixture
def tape(kind: MarketKind) -> Path:
    """The recording of one symbol before midnight."""
    return recording(FOLDERS[kind]) / "btcusdt_20240808.gz"


def span_of(tape: Path, kind: MarketKind) -> tuple[int, int]:
    """When the first and the last trade of one round are played."""
    times = [message.due_ms for message in market_of([tape], kind=kind).play({"btcusdt@trade"}.__contains__)]
    return times[0], times[-1]


def payloads(messages: list[Message], channel: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(message.data) for message in messages if message.stream.endswith(channel)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spot", "usdm"])
def test_rounds_join_without_a_seam(kind: MarketKind, tape: Path) -> None:
    """Ids go on without a hole and times without a step back, and a client's book is right in every round."""
    wanted = {f"btcusdt@{channel}" for channel in ("trade", "aggTrade", "depth@100ms", "bookTicker")}
    begin_ms, end_ms = span_of(tape, kind)
    second_ms = end_ms + (end_ms - begin_ms) / 10
    market = market_of([tape], kind=kind, loop=True)
    messages = list(takewhile(lambda message: message.due_ms < second_ms, market.play(wanted.__contains__)))
    assert messages[-1].due_ms > end_ms
    assert all(before.due_ms <= after.due_ms for before, after in pairwise(messages))
    trades = payloads(messages, "@trade")
    assert [trade["t"] for trade in trades] == list(range(trades[0]["t"], trades[0]["t"] + len(trades)))
    assert all(before["T"] <= after["T"] for before, after in pairwise(trades))
    aggregates = payloads(messages, "@aggTrade")
    assert [each["a"] for each in aggregates] == list(range(1, len(aggregates) + 1))
    assert all(before["l"] + 1 == after["f"] for before, after in pairwise(aggregates))
    quotes = payloads(messages, "@bookTicker")
    assert all(before["u"] < after["u"] for before, after in pairwise(quotes))
    updates = payloads(messages, "@depth@100ms")
    for before, after in pairwise(updates):
        assert after["U"] == before["u"] + 1 if kind == "spot" else after["pu"] == before["u"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spot", "usdm"])
def test_a_book_kept_over_the_seam_is_right_in_the_second_round(kind: MarketKind, tape: Path) -> None:
    wanted = {"btcusdt@depth@100ms" if kind == "spot" else "btcusdt@depth@0ms", "btcusdt@bookTicker"}.__contains__
    _, end_ms = span_of(tape, kind)
    market = market_of([tape], kind=kind, loop=True)
    book, quotes, compared = None, {}, 0
    for message in market.play(wanted):
        if message.stream.endswith("bookTicker"):
            quote = msgspec.json.decode(message.data)
            quotes[quote["u"]] = (quote["b"], quote["B"], quote["a"], quote["A"])
            continue
        update = decode_update(message.data)
        if book is None and (snapshot := market.depth("BTCUSDT", 5000)):
            book = Book(DepthSnapshot(snapshot["lastUpdateId"], snapshot["bids"], snapshot["asks"]))
        elif book is not None:
            book.apply(update)
            if message.due_ms > end_ms and update.last_id in quotes:
                assert (*(book.best_bid() or ()), *(book.best_ask() or ())) == quotes[update.last_id]
                compared += 1
        if compared == 20 or message.due_ms > end_ms + 60_000:
            break
    assert compared == 20
    assert book is not None
    assert market.depth("BTCUSDT", 20) == book.snapshot(20, kind)


def test_update_id_of_a_quote() -> None:
    assert decode_update_id(b'{"u":50093239212,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4"}') == 50093239212
