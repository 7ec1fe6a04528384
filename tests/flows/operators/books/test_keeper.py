import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.clock import Now
from flows.model import (
    BookDelta,
    BookSnapshot,
    BookTicker,
    BookView,
    Disconnected,
    Flush,
    Incident,
    MarketEvent,
    RawFrames,
    Rejected,
    Removed,
    Speaking,
    Subscribed,
)
from flows.operators.books.audit import VOID_MS
from flows.operators.books.keeper import RETRY_MAX_MS, STEADY_MS, BookKeeper, BookPolicy, book_events
from flows.operators.parse import Batch, InstrumentEvent, Validated
from flows.queries import BookQuery, QueryError
from sources.binance.parse import BinanceParser
from sources.binance.rules import RULES
from tests.fakes.examples import TIMES, examples
from tests.fakes.exchange_book import SYMBOL, ExchangeBook
from tests.fakes.recordings import recording
from tests.fakes.trades import trade

AUDIT_MS = 600_000
ASK = BookQuery(SYMBOL, 1_000)
AUDIT = BookQuery(SYMBOL, 1_000, checks=True)
CUT = Disconnected("public", (SYMBOL,), "cut")


class Kept:
    """A keeper, the exchange whose book it keeps, and everything it said; time is local, in ms."""

    def __init__(self, market: Literal["spot", "usdm"] = "spot", *, levels: int = 10, **policy: Any) -> None:
        venue = "binance" if market == "spot" else "binance-usdm"
        self.exchange = ExchangeBook(market, levels=levels)
        self.keeper = BookKeeper(
            f"{venue}:{SYMBOL}", policy=BookPolicy(**{"depth": 1_000, **policy}), rules=RULES[venue]
        )
        self.local = 10_000_000
        self.said: list[Any] = []

    @property
    def now(self) -> Now:
        return Now(self.exchange.time, self.local)

    def hear(self, out: list[Any]) -> list[Any]:
        self.said += out
        return out

    def take(self, *events: Any) -> list[Any]:
        return self.hear(self.keeper.on_events(list(events), self.now))

    def cut(self) -> list[Any]:
        return self.hear(self.keeper.on_events(CUT, self.now))

    def change(self, count: int = 1) -> list[Any]:
        return self.take(*self.exchange.deltas(count))

    def answer(self, answer: BookSnapshot | QueryError | None = None, *, query: BookQuery = ASK) -> list[Any]:
        return self.hear(self.keeper.on_answer(query, answer or self.exchange.snapshot(query.levels), self.now))

    def pass_ms(self, ms: int) -> list[Any]:
        """Lets time pass, and wakes the keeper whenever it wants that."""
        out: list[Any] = []
        end = self.local + ms
        while (due := self.keeper.due_in(self.now)) is not None and self.local + due <= end:
            self.local += due
            out += self.hear(self.keeper.on_timer(self.now))
        self.local = end
        return out

    def synced(self) -> "Kept":
        self.change()
        self.answer()
        self.pass_ms(STEADY_MS)
        self.said.clear()
        return self

    @property
    def view(self) -> BookView:
        """What a client has in hand."""
        views: list[BookView] = [item for item in self.said if isinstance(item, BookView)]
        return views[-1]

    def assert_true(self) -> None:
        assert self.view == BookView(
            self.view.venue, SYMBOL, True, self.exchange.update_id, self.view.event_time,
            self.exchange.best_bids(20), self.exchange.best_asks(20),
        )  # fmt: skip


def only(kind: type, out: list[Any]) -> list[Any]:
    return [item for item in out if isinstance(item, kind)]


def test_books_are_kept_from_differences_quotes_and_cuts_of_the_line() -> None:
    deltas: list[MarketEvent] = [*ExchangeBook().deltas(1)]
    quotes: list[MarketEvent] = [BookTicker(SYMBOL, 7, 1.0, 2.0, 3.0, 4.0)]
    others: list[Validated] = [
        Batch("k", [trade(1, 0, 1.0)]),
        InstrumentEvent("k", Subscribed("public", (SYMBOL,), ())),
        CUT,
        Flush(),
    ]
    taken = book_events([Batch("k", deltas), *others, Batch("k", quotes), InstrumentEvent("k", CUT)])
    assert taken == [("k", deltas), ("k", quotes), ("k", CUT)]


def test_the_end_of_its_differences_reaches_a_book_and_that_of_trades_does_not() -> None:
    gone = Removed("public", (SYMBOL,), ("depth", "bookTicker"), is_gone=True)
    less = Removed("public", (SYMBOL,), ("bookTicker",), is_gone=False)
    trades = Removed("market", (SYMBOL,), ("aggTrade", "kline"), is_gone=True)
    assert book_events([InstrumentEvent("k", event) for event in (gone, less, trades)]) == [("k", gone)]


# --- coming up ---


def test_the_first_difference_marks_the_book_unsynced_and_asks_for_a_snapshot() -> None:
    kept = Kept()
    assert kept.change() == [BookView("binance", SYMBOL, synced=False), ASK]
    assert kept.change() == []
    kept.answer()
    kept.assert_true()


def test_a_refused_snapshot_is_asked_for_again_with_a_growing_delay() -> None:
    kept = Kept()
    kept.change()
    delays = []
    for _ in range(9):
        kept.answer(QueryError("busy"))
        delays.append(kept.keeper.due_in(kept.now))
        assert kept.pass_ms(delays[-1] or 0) == [ASK]
    assert delays == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, RETRY_MAX_MS, RETRY_MAX_MS, RETRY_MAX_MS]


def test_a_snapshot_older_than_the_first_difference_is_asked_for_again() -> None:
    kept = Kept()
    old = kept.exchange.snapshot()
    kept.exchange.deltas(1)
    kept.change()
    kept.answer(old)
    assert not kept.view.synced
    assert kept.pass_ms(1_000) == [ASK]
    kept.answer()
    kept.assert_true()


# --- what is shown ---


def test_views_are_paced_and_the_last_change_is_always_shown() -> None:
    kept = Kept(every_ms=100).synced()
    assert len(only(BookView, kept.change())) == 1
    kept.local += 30
    assert only(BookView, kept.change()) == []
    assert kept.keeper.due_in(kept.now) == 70
    kept.pass_ms(70)
    kept.assert_true()


def test_views_of_a_jittering_stream_come_with_their_differences_and_no_more_often_than_allowed() -> None:
    kept, shown = Kept(every_ms=100).synced(), []
    kept.pass_ms(1_000)
    begin = kept.local
    for number in range(1, 41):
        kept.local = begin + number * 100 + (number % 3 - 1) * 25
        shown += [kept.local] * len(only(BookView, kept.change()))
        assert not kept.keeper._display.is_dirty, "none waits for a timer"
    assert len(shown) == 40
    begin = kept.local
    for _ in range(400):
        kept.local += 10
        shown += [kept.local] * len(only(BookView, kept.change()))
    often = [moment for moment in shown if moment > begin]
    assert 39 <= len(often) <= 41


def test_a_view_has_as_many_levels_as_the_policy_says() -> None:
    kept = Kept(levels=3, every_ms=0).synced()  # three levels there are, and more are let in
    kept.change(20)
    assert kept.view.bids == kept.exchange.best_bids(20)
    few = Kept(every_ms=0)
    few.keeper = BookKeeper(f"binance:{SYMBOL}", policy=BookPolicy(levels=2))
    few.change()
    few.answer()
    assert (few.view.bids, few.view.asks) == (few.exchange.best_bids(2), few.exchange.best_asks(2))


def test_best_bid_and_ask_are_told_at_every_change_whoever_knows_it_first() -> None:
    kept = Kept(every_ms=1_000).synced()
    kept.exchange.change("bids", 99.5, 2.0)
    best = BookTicker(SYMBOL, kept.exchange.update_id, 99.5, 2.0, *kept.exchange.best_asks(1)[0])
    assert kept.take(best) == [best]
    assert only(BookTicker, kept.take(kept.exchange.delta())) == []
    assert kept.take(structs.replace(best, update_id=5, bid_price=1.0)) == []
    kept.exchange.change("bids", 99.5, 3.0)
    bid, query = kept.exchange.best_bids(1)[0], kept.exchange.best_asks(1)[0]
    told = BookTicker(SYMBOL, kept.exchange.update_id, *bid, *query, event_time=kept.exchange.time)
    assert only(BookTicker, kept.take(kept.exchange.delta())) == [told]


def test_an_empty_side_is_told_as_zero() -> None:
    kept = Kept().synced()
    for price, _ in kept.exchange.best_bids(99):
        kept.exchange.change("bids", price, 0.0)
    (best,) = only(BookTicker, kept.take(kept.exchange.delta()))
    assert (best.bid_price, best.bid_quantity) == (0.0, 0.0)
    assert (best.ask_price, best.ask_quantity) == kept.exchange.best_asks(1)[0]


def test_at_the_end_of_input_the_last_change_is_shown() -> None:
    kept = Kept(every_ms=100_000).synced()
    kept.change()
    kept.change()
    kept.hear(kept.keeper.on_end(kept.now))
    kept.assert_true()
    assert kept.keeper.on_end(kept.now) == []


# --- what goes wrong ---


def test_a_gap_marks_the_book_and_starts_over() -> None:
    kept = Kept("usdm").synced()
    kept.exchange.deltas(1)
    assert kept.change() == []  # one difference alone proves nothing
    out = kept.change()
    assert only(BookView, out) == [BookView("binance-usdm", SYMBOL, synced=False)]
    (incident,) = only(Incident, out)
    assert (incident.kind, "did not arrive" in incident.cause) == ("resync", True)
    assert kept.pass_ms(0) == [ASK]
    kept.answer()
    kept.assert_true()


def test_gaps_in_quick_succession_do_not_flood_the_venue_with_requests() -> None:
    kept = Kept().synced()
    waits = []
    for _ in range(4):
        kept.exchange.deltas(1)
        kept.change(2)
        waits.append(kept.keeper.due_in(kept.now) or 0)
        kept.pass_ms(waits[-1])
        kept.answer()
        kept.assert_true()
    assert waits == [0, 1_000, 2_000, 4_000]


def test_a_cut_line_marks_the_book_and_only_its_own_line_does() -> None:
    kept = Kept().synced()
    market = Disconnected("market", (SYMBOL,), "cut")
    assert kept.keeper.on_events(market, kept.now) == []
    assert kept.cut() == [BookView("binance", SYMBOL, synced=False)]
    assert kept.pass_ms(100_000) == []
    assert kept.keeper.on_events(Speaking("public", (SYMBOL,), ("depth",)), kept.now) == []
    kept.exchange.deltas(3)
    assert kept.change() == [ASK]
    kept.answer()
    kept.assert_true()


def test_a_snapshot_that_comes_after_the_line_was_cut_is_not_taken_for_the_present() -> None:
    kept = Kept()
    kept.change()
    old = kept.exchange.snapshot()
    kept.cut()
    assert kept.answer(old) == []
    kept.exchange.deltas(2)
    assert kept.change() == [ASK]
    kept.answer(old)
    assert not kept.view.synced
    kept.answer()
    kept.assert_true()


def test_a_crossed_book_starts_over() -> None:
    kept = Kept().synced()
    update = kept.exchange.update_id + 1
    out = kept.take(BookDelta(SYMBOL, 1, update, update, [(1_000.0, 1.0)], []))
    assert [incident.cause.partition(":")[0] for incident in only(Incident, out)] == ["the book is crossed"]
    assert not kept.view.synced
    assert only(BookTicker, out) == []


def test_a_side_of_which_nothing_is_known_any_more_starts_over() -> None:
    kept = Kept(depth=3)
    kept.change()
    kept.answer(kept.exchange.snapshot(3))
    for price, _ in kept.exchange.best_bids(3):
        kept.exchange.change("bids", price, 0.0)
    out = kept.take(kept.exchange.delta())
    assert not kept.view.synced
    assert only(Incident, out) == []


# --- audits ---


def next_audit(kept: Kept) -> None:
    assert AUDIT in kept.pass_ms(AUDIT_MS)


def test_audits_of_different_symbols_come_at_different_times_and_each_in_its_period() -> None:
    firsts = set()
    for symbol in ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT"):
        kept = Kept()
        kept.keeper = BookKeeper(f"binance:{symbol}", policy=BookPolicy(depth=1_000, audit_ms=AUDIT_MS))
        kept.change()
        kept.answer()
        kept.pass_ms(0)
        due = kept.keeper.due_in(kept.now)
        assert due is not None
        assert due <= AUDIT_MS
        firsts.add(due // 1_000)
    assert len(firsts) == 4


def test_an_audit_that_finds_the_book_right_says_nothing_and_gives_it_its_far_levels() -> None:
    kept = Kept().synced()
    next_audit(kept)
    kept.said.clear()
    snapshot = kept.exchange.snapshot()
    kept.answer(snapshot, query=AUDIT)
    kept.change(3)
    assert only(Incident, kept.said) == []
    kept.pass_ms(100)
    kept.assert_true()


@pytest.mark.parametrize("changed", [0, 2])
def test_an_audit_that_finds_the_book_wrong_replaces_it(changed: int) -> None:
    kept = Kept().synced()
    kept.exchange.bids = {price: quantity + 1 for price, quantity in kept.exchange.bids.items()}  # untold
    next_audit(kept)
    if changed:
        kept.change(changed)
    kept.answer(query=AUDIT)
    kept.change()
    (incident,) = only(Incident, kept.said)
    assert incident.kind == "resync"
    assert incident.cause.endswith("of the best 100 levels were the exchange's")
    kept.pass_ms(100)
    kept.assert_true()


def test_an_audit_snapshot_that_was_overtaken_is_brought_forward() -> None:
    kept = Kept("usdm").synced()
    next_audit(kept)
    kept.change(2)
    snapshot = kept.exchange.snapshot()
    kept.change(2)
    kept.answer(snapshot, query=AUDIT)
    assert only(Incident, kept.said) == []
    kept.pass_ms(100)
    kept.assert_true()


@pytest.mark.parametrize("is_answered_before", [True, False])
def test_a_wrong_difference_during_an_audit_is_refused_once(is_answered_before: bool) -> None:
    kept = Kept().synced()
    next_audit(kept)
    (next_one,) = kept.exchange.deltas(1)
    kept.take(next_one)
    far = structs.replace(next_one, first_update_id=2**53, last_update_id=2**53 + 1)
    if is_answered_before:
        kept.answer(query=AUDIT)
    kept.take(far, *kept.exchange.deltas(1))
    if not is_answered_before:
        kept.answer(query=AUDIT)
    kept.change(2)
    kept.pass_ms(100)
    assert len(only(Rejected, kept.said)) == 1
    assert only(Incident, kept.said) == []
    kept.assert_true()


@pytest.mark.parametrize("is_extra", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_a_wrong_difference_is_refused_however_messages_are_cut_into_batches(size: int, is_extra: bool) -> None:
    kept = Kept().synced()
    true, *following = kept.exchange.deltas(5)
    far = structs.replace(true, first_update_id=2**53, last_update_id=2**53 + 1)
    taken = [far, *([true] if is_extra else []), *following]
    for begin in range(0, len(taken), size):
        kept.take(*taken[begin : begin + size])
    kept.change()
    [refused] = only(Rejected, kept.said)
    assert b"9007199254740992" in refused.payload
    assert bool(only(Incident, kept.said)) is not is_extra


@pytest.mark.parametrize("answer", [QueryError("busy"), ExchangeBook().snapshot()])
def test_an_audit_without_a_usable_snapshot_is_void(answer: Any) -> None:
    kept = Kept().synced()
    next_audit(kept)
    kept.change(2)
    kept.answer(answer, query=AUDIT)
    assert only(Incident, kept.said) == []
    kept.pass_ms(100)
    kept.assert_true()
    next_audit(kept)


def test_an_answer_to_an_audit_of_a_book_that_is_gone_is_ignored() -> None:
    kept = Kept().synced()
    next_audit(kept)
    kept.cut()
    assert kept.answer(query=AUDIT) == []


def test_a_book_whose_price_nears_the_end_of_what_is_known_is_renewed_before_it_is_reached() -> None:
    kept = Kept(levels=30, depth=10)
    kept.change()
    kept.answer(kept.exchange.snapshot(10))
    kept.said.clear()
    for price, _ in kept.exchange.best_bids(6):
        kept.exchange.change("bids", price, 0.0)
    query = BookQuery(SYMBOL, 10, checks=True)
    assert only(BookQuery, kept.take(kept.exchange.delta())) == [query]
    kept.answer(QueryError("busy"), query=query)
    assert only(BookQuery, kept.change()) == []
    kept.pass_ms(VOID_MS)
    assert only(BookQuery, kept.change()) == [query]
    kept.answer(kept.exchange.snapshot(10), query=query)
    kept.pass_ms(100)
    assert kept.view.bids == kept.exchange.best_bids(10)


def test_a_book_begins_with_few_levels_and_is_deepened_when_its_price_nears_the_end_of_them() -> None:
    kept = Kept(levels=60, first_depth=10)
    first = BookQuery(SYMBOL, 10)
    assert only(BookQuery, kept.change()) == [first]
    kept.answer(query=first)
    assert kept.view.bids == kept.exchange.best_bids(10)
    for price, _ in kept.exchange.best_bids(6):
        kept.exchange.change("bids", price, 0.0)
    assert only(BookQuery, kept.take(kept.exchange.delta())) == [AUDIT]
    kept.answer(query=AUDIT)
    kept.pass_ms(100)
    kept.assert_true()


# --- laws ---


@pytest.mark.slow
@settings(max_examples=examples(30), deadline=None)
@given(market=st.sampled_from(("spot", "usdm")), random=st.randoms(use_true_random=False))
def test_whatever_happens_a_client_sees_the_exchanges_book_or_one_that_is_marked(market: Any, random: Random) -> None:
    """Every view that was ever shown as in sync is the exchange's book of that update id."""
    kept = Kept(market, every_ms=random.choice((0, 100)), audit_ms=random.choice((700, AUDIT_MS)))
    exchange = kept.exchange
    truths, snapshots = {}, [exchange.snapshot()]
    waiting: list[BookDelta] = []
    asked: list[BookQuery] = []
    for _ in range(80):
        exchange.wander(random.randint(1, 3))
        waiting.append(exchange.delta())
        snapshots.append(exchange.snapshot())
        truths[exchange.update_id] = exchange.best_bids(20), exchange.best_asks(20)
        fault = random.random()
        if fault < 0.03:
            waiting.clear()
        elif fault < 0.06:
            waiting.append(random.choice(waiting))
        elif fault < 0.09:
            random.shuffle(waiting)
        elif fault < 0.12:
            waiting.clear()
            kept.cut()
        elif fault > 0.3 and waiting:
            asked += only(BookQuery, kept.take(*waiting))
            waiting.clear()
        asked += only(BookQuery, kept.pass_ms(random.randint(0, 400)))
        while asked and random.random() < 0.6:
            stale = snapshots[random.randint(0, len(snapshots) - 1)] if random.random() < 0.2 else snapshots[-1]
            answer: Any = QueryError("busy") if random.random() < 0.1 else stale
            asked += only(BookQuery, kept.answer(answer, query=asked.pop(0)))
    for view in only(BookView, kept.said):
        assert not view.synced or view.update_id not in truths or (view.bids, view.asks) == truths[view.update_id]
    assert not [i for i in only(Incident, kept.said) if i.cause.startswith("audit")]


# --- recordings ---


class Recorded:
    """A recording through the parser and a keeper. Asks are answered with what the recorded snapshot and the recorded
    differences come to.
    """

    def __init__(self, venue: str, symbol: str) -> None:
        self.keeper = BookKeeper(f"{venue}:{symbol}", policy=BookPolicy(depth=1_000, every_ms=0), rules=RULES[venue])
        self.symbol = symbol
        self.parser = BinanceParser(venue)
        self.quotes: dict[int, tuple[float, ...]] = {}
        self.views: list[BookView] = []
        self.incidents: list[Incident] = []
        self.best: list[BookTicker] = []
        self.local = 0
        self.sides: tuple[dict[float, float], dict[float, float]] | None = None
        self.update_id = 0
        self.deltas: list[BookDelta] = []
        self.asked: list[BookQuery] = []

    def bring_forward(self) -> None:
        """What is below the answers: every level that was ever told."""
        if self.sides is None:
            return
        for delta in self.deltas:
            if delta.last_update_id > self.update_id:
                self.sides[0].update(delta.bids)
                self.sides[1].update(delta.asks)
                self.update_id = delta.last_update_id
        self.deltas.clear()

    def take(self, payload: bytes) -> None:
        now = Now(self.local, self.local)
        for symbol, events in self.parser.parse(RawFrames("public", [payload], 0)).events:
            if symbol != self.symbol:
                continue
            for event in events:
                if isinstance(event, BookTicker):
                    sides = event.bid_price, event.bid_quantity, event.ask_price, event.ask_quantity
                    self.quotes[event.update_id] = sides
                elif isinstance(event, BookDelta):
                    self.deltas.append(event)
                    self.bring_forward()
            self.hear(self.keeper.on_events(events, now), now)  # type: ignore[arg-type] # they are of one type
        self.hear(self.keeper.on_timer(now), now)

    def take_snapshot(self, body: dict[str, Any]) -> None:
        bids, asks = ({float(price): float(quantity) for price, quantity in body[side]} for side in ("bids", "asks"))
        self.sides, self.update_id = (bids, asks), body["lastUpdateId"]
        self.bring_forward()
        self.answer(Now(self.local, self.local))

    def hear(self, out: list[Any], now: Now) -> None:
        self.views += only(BookView, out)
        self.best += only(BookTicker, out)
        self.incidents += only(Incident, out)
        self.asked += only(BookQuery, out)
        self.answer(now)

    def answer(self, now: Now) -> None:
        while self.sides and self.asked:
            bids, asks = ([level for level in side.items() if level[1]] for side in self.sides)
            snapshot = BookSnapshot(
                self.symbol, self.update_id, sorted(bids, reverse=True)[:1_000], sorted(asks)[:1_000]
            )
            self.hear(self.keeper.on_answer(self.asked.pop(), snapshot, now), now)

    @property
    def tops(self) -> dict[int, tuple[float, ...]]:
        """Best bid and ask by update id, as clients saw them."""
        synced = [view for view in self.views if view.synced]
        return {view.update_id: (*view.bids[0], *view.asks[0]) for view in synced}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("venue", "folder", "symbol"),
    [
        ("binance", "binance-spot-2024-08-08", "BTCUSDT"),
        ("binance", "binance-spot-2024-08-08", "ETHUSDT"),
        ("binance-usdm", "binance-usdm-2024-08-08", "BTCUSDT"),
        ("binance-usdm", "binance-usdm-2024-08-08", "ETHUSDT"),
    ],
)
def test_the_top_of_a_recorded_book_equals_the_book_ticker_at_the_same_update_id(
    venue: str, folder: str, symbol: str
) -> None:
    recorded = Recorded(venue, symbol)
    for path in sorted(recording(folder).glob(f"{symbol.lower()}_*.gz"))[:TIMES]:
        with gzip.open(path) as lines:
            for line in lines:
                received, _, payload = line.rstrip().partition(b" ")
                recorded.local = int(received) // 1_000_000
                if payload.startswith(b'{"lastUpdateId"'):
                    recorded.take_snapshot(json.loads(payload))
                elif b"@trade" not in payload[:32]:
                    recorded.take(payload)
    assert recorded.incidents == []
    assert [view.synced for view in recorded.views].count(False) == 1
    tops, quotes = recorded.tops, recorded.quotes
    shared = tops.keys() & quotes.keys()
    assert len(shared) > 500
    assert {update: tops[update] for update in shared} == {update: quotes[update] for update in shared}


@pytest.mark.parametrize("name", ["BINANCE", "BINANCE_US", "BINANCE_TR", "BINANCE_FUTURES"])
def test_every_book_of_the_captures_syncs_and_its_chain_holds(name: str) -> None:
    folder = recording("captures")
    venue = "binance-usdm" if name == "BINANCE_FUTURES" else "binance"
    snapshots = dict(captured_snapshots(folder / f"{name}.http.0.0"))
    frames = list(captured_frames(folder / f"{name}.ws.1.0"))
    assert snapshots
    for symbol, (moment, body) in snapshots.items():
        recorded = Recorded(venue, symbol)
        for received, payload in frames:
            if moment <= received and recorded.sides is None and recorded.asked:
                recorded.take_snapshot(body)
            recorded.local = int(received * 1_000)
            if b"@depth" in payload[:64] or b"@bookTicker" in payload[:64]:
                recorded.take(payload)
        assert recorded.incidents == [], symbol
        assert [view.synced for view in recorded.views].count(False) <= 1, symbol
        tops, quotes = recorded.tops, recorded.quotes
        assert tops, symbol
        shared = tops.keys() & quotes.keys()
        assert {update: tops[update] for update in shared} == {update: quotes[update] for update in shared}


def captured_snapshots(path: Path) -> Iterator[tuple[str, tuple[float, dict[str, Any]]]]:
    """By symbol, the moment of the answer and its body."""
    for line in path.read_text().splitlines():
        url, arrow, rest = line.partition(" -> ")
        if arrow and "/depth" in url:
            moment, _, body = rest.partition(": ")
            yield url.partition("symbol=")[2].partition("&")[0], (float(moment), json.loads(body))


def captured_frames(path: Path) -> Iterator[tuple[float, bytes]]:
    for line in path.read_bytes().splitlines():
        received, colon, payload = line.partition(b": ")
        if colon and payload.startswith(b"{"):
            yield float(received), payload
