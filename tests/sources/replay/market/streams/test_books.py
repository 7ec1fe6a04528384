"""The book streams of each speed, of small synthetic markets, kept by the rules of the exchange's own pages."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from sources.replay.market.book import Book, DepthSnapshot, decode_update
from sources.replay.market.market import MarketKind, Message
from sources.replay.market.streams.books import streams_at_once
from sources.replay.synthetic.market import SyntheticMarket

START_MS = 1_760_000_025_000
SPEEDS: dict[MarketKind, dict[str, int]] = {
    "spot": {"": 1_000, "@100ms": 100},
    "usdm": {"": 250, "@100ms": 100, "@500ms": 500},
}
EACH = [(kind, end) for kind in SPEEDS for end in SPEEDS[kind]]


def played(kind: MarketKind, *streams: str, until_ms: int = 8_000) -> tuple[SyntheticMarket, list[Message]]:
    market = SyntheticMarket(kind, ["BTCUSDT"], seed=7, start_ms=START_MS, trades_per_s=20)
    messages = []
    for message in market.play(set(streams).__contains__):
        if message.due_ms > START_MS + until_ms:
            break
        messages.append(message)
    return market, messages


@pytest.mark.parametrize(("kind", "end"), EACH)
def test_differences_come_at_their_speed_and_chain(kind: MarketKind, end: str) -> None:
    _, messages = played(kind, f"btcusdt@depth{end}")
    every_ms = SPEEDS[kind][end]
    slots = [(message.due_ms - START_MS) // every_ms for message in messages]
    assert len(set(slots)) == len(slots) > 0.8 * 8_000 / every_ms
    payloads: list[dict[str, Any]] = [msgspec.json.decode(message.data) for message in messages]
    for before, after in pairwise(payloads):
        assert after["U"] == before["u"] + 1 if kind == "spot" else after["pu"] == before["u"]
        assert after["U"] <= after["u"]
        assert after["E"] - before["E"] >= every_ms * 0.9


@pytest.mark.parametrize(("kind", "end"), EACH)
def test_a_snapshot_at_any_time_fits_and_the_kept_book_is_the_true_one(kind: MarketKind, end: str) -> None:
    stream = f"btcusdt@depth{end}"
    for at in (300, 1_450, 2_700):
        market = SyntheticMarket(kind, ["BTCUSDT"], seed=7, start_ms=START_MS, trades_per_s=20)
        book: Book | None = None
        joined = compared = 0
        for message in market.play({stream, "btcusdt@depth@100ms"}.__contains__):
            if book is None and message.due_ms > START_MS + at:
                snapshot = market.depth("BTCUSDT", 5_000)
                assert snapshot is not None
                book = Book(DepthSnapshot(snapshot["lastUpdateId"], snapshot["bids"], snapshot["asks"]))
                continue
            if book is None or message.stream != stream:
                continue
            update, last = decode_update(message.data), book.last_id
            if update.last_id < last or (kind == "spot" and update.last_id == last):
                continue
            follows = update.first_id == last + 1 if kind == "spot" else update.previous_id == last
            assert follows or (not joined and update.first_id <= last <= update.last_id)
            joined += 1
            book.apply(update)
            true = market.depth("BTCUSDT", 5_000)
            if true is not None and true["lastUpdateId"] == book.last_id:
                assert book.snapshot(5_000, "spot")["bids"] == true["bids"]
                assert book.snapshot(5_000, "spot")["asks"] == true["asks"]
                compared += 1
            if compared == 3:
                break
        assert compared == 3


@pytest.mark.parametrize(("kind", "end"), EACH)
def test_partial_books_come_at_their_speed_with_spans_of_ids(kind: MarketKind, end: str) -> None:
    _, messages = played(kind, f"btcusdt@depth5{end}", f"btcusdt@depth{end}", until_ms=3_000)
    partial = [msgspec.json.decode(message.data) for message in messages if "depth5" in message.stream]
    whole = [msgspec.json.decode(message.data) for message in messages if "depth5" not in message.stream]
    assert len(partial) == len(whole) > 1
    for top, diff in zip(partial, whole, strict=True):
        if kind == "spot":
            assert set(top) == {"lastUpdateId", "bids", "asks"}
            assert (top["lastUpdateId"], len(top["bids"])) == (diff["u"], 5)
        else:
            assert {key: top[key] for key in ("U", "u", "pu", "E", "T")} == {
                key: diff[key] for key in ("U", "u", "pu", "E", "T")
            }
            assert (top["ps"], top["st"], len(top["a"])) == ("BTCUSDT", 1, 5)


def test_the_book_with_orders_of_retail_price_improvement_has_the_same_differences() -> None:
    _, messages = played("usdm", "btcusdt@rpiDepth@500ms", "btcusdt@depth@500ms", until_ms=3_000)
    whole = [message.data for message in messages if "rpi" in message.stream]
    assert whole == [message.data for message in messages if "rpi" not in message.stream]
    assert len(whole) > 1


def test_a_tape_of_another_speed_serves_what_is_not_faster_as_it_is() -> None:
    assert streams_at_once("spot", "BTCUSDT", "depth@100ms") == ("btcusdt@depth@100ms",)
    assert streams_at_once("spot", "BTCUSDT", "depth") == ("btcusdt@depth", "btcusdt@depth@100ms")
    assert streams_at_once("usdm", "BTCUSDT", "depth@0ms") == ("btcusdt@depth@0ms",)
    assert streams_at_once("usdm", "BTCUSDT", "depth") == ("btcusdt@depth", "btcusdt@depth@100ms")
