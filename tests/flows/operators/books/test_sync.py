from random import Random
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.model import BookDelta, BookSnapshot
from flows.operators.books.sync import MAX_WAITING, RESTART_MS, BookSync
from sources.binance.rules import RULES
from tests.fakes.examples import examples
from tests.fakes.exchange_book import ExchangeBook

Market = Literal["spot", "usdm"]
VENUES: dict[Market, str] = {"spot": "binance", "usdm": "binance-usdm"}
MARKETS: tuple[Market, ...] = ("spot", "usdm")
both_markets = pytest.mark.parametrize("market", MARKETS)


def begun(market: Market) -> BookSync:
    return BookSync(RULES[VENUES[market]].book_ids, depth=1_000)


def spot_delta(first: int, last: int, *bids: tuple[float, float], time: int = 0) -> BookDelta:
    return BookDelta("BTCUSDT", time, first, last, list(bids), [])


def assert_equal(sync: BookSync, exchange: ExchangeBook) -> None:
    assert sync.book is not None
    assert sync.book.update_id == exchange.update_id
    assert sync.book.bids.best(1_000) == exchange.best_bids(1_000)
    assert sync.book.asks.best(1_000) == exchange.best_asks(1_000)


@both_markets
def test_differences_wait_for_the_snapshot_and_go_on_top_of_it(market: Market) -> None:
    exchange, sync = ExchangeBook(market), begun(market)
    for delta in exchange.deltas(3):
        assert sync.take(delta) == ""
    assert sync.is_waiting
    snapshot = exchange.snapshot()
    for delta in exchange.deltas(3):
        assert sync.take(delta) == ""
    assert sync.take_snapshot(snapshot) == ""
    assert not sync.is_waiting
    assert_equal(sync, exchange)


@both_markets
def test_a_snapshot_older_than_the_first_difference_is_refused_and_a_newer_one_taken(market: Market) -> None:
    exchange, sync = ExchangeBook(market), begun(market)
    old = exchange.snapshot()
    exchange.deltas(1)
    for delta in exchange.deltas(2):
        sync.take(delta)
    assert "is older than the first update" in sync.take_snapshot(old)
    assert sync.take_snapshot(exchange.snapshot()) == ""
    assert_equal(sync, exchange)


@both_markets
def test_a_snapshot_from_within_a_difference_fits(market: Market) -> None:
    exchange, sync = ExchangeBook(market), begun(market)
    exchange.wander(3)
    snapshot = exchange.snapshot()
    exchange.wander(3)
    sync.take(exchange.delta())
    assert sync.take_snapshot(snapshot) == ""
    assert_equal(sync, exchange)


@both_markets
def test_a_snapshot_newer_than_all_that_waits_is_joined_by_the_next_difference(market: Market) -> None:
    exchange, sync = ExchangeBook(market), begun(market)
    sync.take(exchange.deltas(1)[0])
    exchange.wander(3)
    sync.take_snapshot(exchange.snapshot())
    assert_equal(sync, exchange)
    exchange.wander(3)
    assert sync.take(exchange.delta()) == ""
    assert_equal(sync, exchange)


@both_markets
def test_a_gap_is_a_fault(market: Market) -> None:
    exchange, sync = ExchangeBook(market), begun(market)
    sync.take(exchange.deltas(1)[0])
    sync.take_snapshot(exchange.snapshot())
    sync.take(exchange.deltas(1)[0])
    last = exchange.update_id
    _, behind, next_one = exchange.deltas(3)
    assert sync.take(behind) == ""  # one difference alone proves nothing
    fault = f"the updates after {last} did not arrive, the next one is {behind.first_update_id}"
    assert sync.take(next_one) == fault


@both_markets
def test_a_difference_that_nothing_follows_changes_nothing(market: Market) -> None:
    exchange, sync = ExchangeBook(market), begun(market)
    sync.take(exchange.deltas(1)[0])
    sync.take_snapshot(exchange.snapshot())
    for delta in exchange.deltas(3):
        far = structs.replace(
            delta,
            first_update_id=delta.first_update_id + 2**53,
            last_update_id=delta.last_update_id + 2**53,
            previous_update_id=None if delta.previous_update_id is None else delta.previous_update_id + 2**53,
        )
        assert sync.take(far) == ""
        assert sync.take(delta) == ""
        assert sync.refused == [far]
        sync.refused.clear()
    assert sync.book is not None
    assert sync.book.update_id == exchange.update_id
    assert (sync.book.bids.best(5), sync.book.asks.best(5)) == (exchange.best_bids(5), exchange.best_asks(5))


def test_a_difference_that_does_not_follow_is_believed_when_nothing_comes_behind_it() -> None:
    sync = begun("spot")
    sync.take(spot_delta(99, 101, time=1))
    sync.take_snapshot(ExchangeBook().snapshot())
    assert sync.take(spot_delta(110, 111, time=2)) == ""
    assert sync.is_in_doubt
    assert "did not arrive, the next one is 110" in sync.give_up_doubt()


@both_markets
def test_a_duplicate_and_a_straggler_change_nothing(market: Market) -> None:
    exchange, sync = ExchangeBook(market), begun(market)
    deltas = exchange.deltas(4)
    for delta in deltas[:2]:
        sync.take(delta)
    sync.take_snapshot(exchange.snapshot())
    for delta in (*deltas, *deltas):
        assert sync.take(delta) == ""
    assert_equal(sync, exchange)


def test_usdm_is_continued_by_what_begins_earlier_and_ends_later() -> None:
    exchange, sync = ExchangeBook("usdm"), begun("usdm")
    first, second, third = exchange.deltas(3)
    sync.take(first)
    sync.take_snapshot(ExchangeBook("usdm").snapshot())
    both = BookDelta(
        "BTCUSDT", third.event_time, second.first_update_id, third.last_update_id,
        second.bids + third.bids, second.asks + third.asks, second.previous_update_id,
    )  # fmt: skip
    assert sync.take(second) == ""
    assert sync.take(both) == ""
    assert_equal(sync, exchange)


def test_usdm_differences_that_do_not_name_the_one_before_prove_nothing() -> None:
    exchange, sync = ExchangeBook("usdm"), begun("usdm")
    first, second = (structs.replace(delta, previous_update_id=None) for delta in exchange.deltas(2))
    sync.take(first)
    assert sync.take_snapshot(BookSnapshot("BTCUSDT", first.first_update_id, [], [])) == ""
    assert sync.take(second) == ""
    assert "did not arrive" in sync.give_up_doubt()


def test_a_hole_in_what_waits_makes_the_part_before_it_useless() -> None:
    sync = begun("spot")
    sync.take(spot_delta(101, 103))
    sync.take(spot_delta(107, 109))
    sync.take(spot_delta(110, 112))
    assert "is older" in sync.take_snapshot(ExchangeBook().snapshot())  # of 100
    assert sync.take(spot_delta(113, 114)) == ""


def test_ids_that_begin_anew_are_a_fault_where_there_is_a_book_and_a_beginning_where_there_is_none() -> None:
    sync = begun("spot")
    sync.take(spot_delta(99, 101, time=1))
    sync.take_snapshot(ExchangeBook().snapshot())
    assert sync.take(spot_delta(1, 3, time=RESTART_MS)) == ""
    assert sync.take(spot_delta(1, 3, time=RESTART_MS + 2)) == ""
    assert "went back from 101 to 4" in sync.take(spot_delta(4, 4, time=RESTART_MS + 3))
    waiting = begun("spot")
    waiting.take(spot_delta(1_000, 1_001, time=1))
    waiting.take(spot_delta(90, 98, time=RESTART_MS + 2))
    waiting.take(spot_delta(99, 101, (50.0, 3.0), time=RESTART_MS + 2))
    assert waiting.take_snapshot(ExchangeBook().snapshot()) == ""
    assert waiting.book is not None
    assert waiting.book.update_id == 101


def test_what_waits_is_bounded() -> None:
    sync = begun("spot")
    for number in range(MAX_WAITING + 1):
        sync.take(spot_delta(101 + number, 101 + number))
    assert "the first update, 102" in sync.take_snapshot(ExchangeBook().snapshot())


@settings(max_examples=examples(40), deadline=None)
@given(market=st.sampled_from(MARKETS), random=st.randoms(use_true_random=False))
def test_any_admissible_interleaving_gives_the_exchanges_book(market: Market, random: Random) -> None:
    exchange, sync = ExchangeBook(market, seed=random.randint(0, 999)), begun(market)
    snapshot = None
    asked_after, told_after = sorted(random.choices(range(1, 20), k=2))
    for step in range(25):
        exchange.wander(random.randint(1, 4))
        if step == asked_after:
            snapshot = exchange.snapshot()
            exchange.wander(random.randint(0, 3))
        assert sync.take(exchange.delta()) == ""
        if step == told_after:
            assert snapshot is not None
            assert sync.take_snapshot(snapshot) == ""
        if sync.book is not None and sync.book.update_id == exchange.update_id:
            assert_equal(sync, exchange)
    assert_equal(sync, exchange)


@settings(max_examples=examples(40), deadline=None)
@given(market=st.sampled_from(MARKETS), random=st.randoms(use_true_random=False))
def test_whatever_is_lost_doubled_or_swapped_the_book_is_the_exchanges_or_there_is_none(
    market: Market, random: Random
) -> None:
    exchange, sync = ExchangeBook(market, seed=random.randint(0, 999)), begun(market)
    truths = {}
    sent = []
    snapshots = []
    for _ in range(30):
        exchange.wander(random.randint(1, 3))
        sent.append(exchange.delta())
        snapshots.append(exchange.snapshot())
        truths[exchange.update_id] = exchange.best_bids(50), exchange.best_asks(50)
    arriving = [delta for delta in sent for _ in range(random.choice((0, 1, 1, 1, 1, 1, 2)))]
    for place in range(len(arriving) - 1):
        if random.random() < 0.1:
            arriving[place], arriving[place + 1] = arriving[place + 1], arriving[place]
    for delta in arriving:
        if sync.take(delta):
            sync = begun(market)
            sync.take(delta)
        if sync.is_waiting and random.random() < 0.3:
            sync.take_snapshot(random.choice(snapshots))
        book = sync.book
        if book is not None and book.update_id in truths:
            assert (book.bids.best(50), book.asks.best(50)) == truths[book.update_id]


@pytest.mark.parametrize("by", [1_000_001, 1 << 53])
@pytest.mark.parametrize("is_extra", [True, False])
@pytest.mark.parametrize("has_book", [True, False])
def test_a_difference_far_ahead_is_refused_when_the_next_one_lies_before_it(
    by: int, is_extra: bool, has_book: bool
) -> None:
    exchange, sync = ExchangeBook("spot"), begun("spot")
    for delta in exchange.deltas(2):
        sync.take(delta)
    if has_book:
        sync.take_snapshot(exchange.snapshot())
    true, *following = exchange.deltas(4)
    wrong = structs.replace(true, first_update_id=true.first_update_id + by, last_update_id=true.last_update_id + by)
    taken = [wrong, *([true] if is_extra else []), *following]
    faults = [fault for delta in taken if (fault := sync.take(delta))]
    assert wrong in sync.refused
    assert bool(faults) is (has_book and not is_extra)
    if not faults:
        assert sync.take_snapshot(exchange.snapshot()) == ""
        assert_equal(sync, exchange)


def test_a_first_difference_far_ahead_is_refused_when_later_ones_lie_before_it() -> None:
    exchange, sync = ExchangeBook("spot"), begun("spot")
    true, *following = exchange.deltas(60)
    wrong = structs.replace(true, first_update_id=1 << 53, last_update_id=(1 << 53) + 1)
    assert following[-2].event_time > wrong.event_time + RESTART_MS, "so much later they contradict it"
    for delta in [wrong, *following]:
        assert sync.take(delta) == ""
    assert sync.refused == [wrong]
    assert sync.take_snapshot(exchange.snapshot()) == ""
    assert_equal(sync, exchange)
