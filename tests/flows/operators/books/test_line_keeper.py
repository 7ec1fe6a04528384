from typing import Any

from flows.bounds import VenueRules
from flows.clock import Now
from flows.model import (
    BookCheck,
    BookTicker,
    BookView,
    Disconnected,
    Incident,
    LineDelta,
    LineSnapshot,
    RawFrames,
)
from flows.operators.books.line_keeper import RENEW_MAX_MS, RENEW_MIN_MS, STEADY_MS, LineBookKeeper
from flows.queries import RenewQuery
from sources.kraken.parse import KrakenParser
from sources.kraken.rules import RULES
from tests.fakes.kraken_frames import recorded_frames
from tests.flows.operators.books.test_line_book import CHECKSUM, check, delta, snapshot

KEY = "kraken:BTC-USD"
LINE_RULES = VenueRules(book_line="book", has_books_on_line=True, book_checksum=CHECKSUM)
WRONG = BookCheck(1, ["", ""], [""])


class Kept:
    """A keeper and everything that it gave; time is local, ms."""

    def __init__(self) -> None:
        self.keeper = LineBookKeeper(KEY, levels=2, every_ms=100, rules=LINE_RULES)
        self.local = 1_000_000
        self.given: list[Any] = []

    def take(self, *events: Any) -> list[Any]:
        event = list(events) if isinstance(events[0], LineDelta | LineSnapshot | BookTicker) else events[0]
        return self._note(self.keeper.on_events(event, Now(0, self.local)))

    def pass_ms(self, ms: int) -> list[Any]:
        out: list[Any] = []
        end = self.local + ms
        while (due := self.keeper.due_in(Now(0, self.local))) is not None and self.local + due <= end:
            self.local += due
            out += self._note(self.keeper.on_timer(Now(0, self.local)))
        self.local = end
        return out

    def _note(self, out: list[Any]) -> list[Any]:
        self.given += out
        return out

    @property
    def view(self) -> BookView:
        return [item for item in self.given if isinstance(item, BookView)][-1]


def only(kind: type, out: list[Any]) -> list[Any]:
    return [item for item in out if isinstance(item, kind)]


def whole(at: int = 1_000) -> LineSnapshot:
    return snapshot([(9.0, 1.0), (8.0, 2.0), (7.0, 3.0)], [(10.0, 1.0)], at=at)


def test_a_snapshot_is_a_book_at_once_and_changes_follow_at_the_pace() -> None:
    kept = Kept()
    ticker, view = kept.take(whole())
    assert ticker == BookTicker("BTC-USD", 1_000, 9.0, 1.0, 10.0, 1.0, event_time=1)
    assert view == BookView("kraken", "BTC-USD", True, 1_000, 1, [(9.0, 1.0), (8.0, 2.0)], [(10.0, 1.0)])
    assert only(BookView, kept.take(delta([(9.0, 4.0)], [], at=2_000))) == []
    assert kept.pass_ms(99) == []
    [shown] = kept.pass_ms(1)
    assert (shown.update_id, shown.bids[0]) == (2_000, (9.0, 4.0))


def test_best_bid_and_ask_leave_with_each_change_and_never_under_the_same_number() -> None:
    kept = Kept()
    kept.take(whole())
    numbers = []
    for quantity in (5.0, 6.0):
        [ticker] = kept.take(delta([(9.0, quantity)], [], at=1_000))
        assert ticker.bid_quantity == quantity
        numbers.append(ticker.update_id)
    assert numbers == [1_001, 1_002]


def test_a_checksum_that_differs_withdraws_the_book_and_renews_the_stream() -> None:
    kept = Kept()
    kept.take(whole())
    kept.pass_ms(STEADY_MS)
    out = kept.take(delta([(9.0, 4.0), (9.1, 1.0)], [(10.0, 2.0)], at=2_000, proof=WRONG), delta([], [], at=3_000))
    [incident] = only(Incident, out)
    assert incident.kind == "resync"
    assert incident.cause.endswith("the exchange's is 1")
    assert only(BookView, out) == [BookView("kraken", "BTC-USD", synced=False)]
    assert [(query.symbol, query.kinds) for query in only(RenewQuery, out)] == [("BTC-USD", ("depth",))]
    assert kept.take(delta([(9.0, 4.0)], [], at=4_000)) == []  # nothing is shown until the snapshot
    kept.take(whole(at=5_000))
    assert kept.view.synced
    assert kept.view.bids[0] == (9.0, 1.0)


def test_a_stream_that_brings_no_snapshot_is_renewed_ever_more_seldom() -> None:
    kept = Kept()
    assert kept.take(delta([(9.0, 4.0)], [], at=4_000)) == [BookView("kraken", "BTC-USD", synced=False)]
    times = []
    for _ in range(6):
        before = kept.local
        while not only(RenewQuery, kept.pass_ms(1_000)):
            pass
        times.append(kept.local - before)
    assert times == [RENEW_MIN_MS, RENEW_MIN_MS, 2 * RENEW_MIN_MS, 4 * RENEW_MIN_MS, 8 * RENEW_MIN_MS, RENEW_MAX_MS]


def test_a_fault_soon_after_a_fault_waits_and_one_after_a_steady_time_does_not() -> None:
    kept = Kept()
    kept.take(whole())
    bad = delta([(9.0, 4.0)], [], at=2_000, proof=WRONG)
    assert only(RenewQuery, kept.take(bad))
    kept.take(whole(at=3_000))
    assert not only(RenewQuery, kept.take(structs_at(bad, 4_000)))
    assert only(RenewQuery, kept.pass_ms(RENEW_MIN_MS))
    kept.take(whole(at=5_000))
    kept.pass_ms(STEADY_MS)
    assert only(RenewQuery, kept.take(structs_at(bad, 6_000)))


def structs_at(one: LineDelta, at: int) -> LineDelta:
    return delta(one.bids, one.asks, at=at, proof=one.check)


def test_a_crossed_book_is_not_shown() -> None:
    kept = Kept()
    kept.take(whole())
    out = kept.take(delta([(10.0, 1.0)], [], at=2_000))
    assert [item.cause for item in only(Incident, out)] == ["the book is crossed: bid 10.0, ask 10.0"]
    assert not kept.view.synced


def test_only_its_own_line_takes_the_book_away() -> None:
    kept = Kept()
    kept.take(whole())
    assert kept.take(Disconnected("market", ("BTC-USD",), "cut")) == []
    assert kept.take(Disconnected("book", ("BTC-USD",), "cut")) == [BookView("kraken", "BTC-USD", synced=False)]
    kept.take(whole(at=500))  # the new connection's, whatever its time
    assert kept.view.synced


def test_the_snapshot_of_a_connection_that_takes_over_may_be_behind_the_book() -> None:
    kept = Kept()
    kept.take(whole(at=1_000))
    kept.take(delta([(9.0, 4.0)], [], at=2_000))
    assert kept.take(whole(at=1_500)) == []
    kept.pass_ms(1_000)
    assert kept.view.bids[0] == (9.0, 4.0)


def test_the_end_of_the_input_shows_the_book_as_it_is() -> None:
    kept = Kept()
    kept.take(whole())
    kept.take(delta([(9.0, 4.0)], [], at=2_000))
    [view] = kept.keeper.on_end(Now(0, kept.local))
    assert view.bids[0] == (9.0, 4.0)  # type: ignore[union-attr]


def test_every_checksum_of_the_recording_is_that_of_our_book() -> None:
    parser, messages = KrakenParser(), 0
    keepers = {symbol: LineBookKeeper(f"kraken:{symbol}", levels=10, every_ms=0, rules=RULES)
               for symbol in ("BTC-USD", "ETH-USD")}  # fmt: skip
    for number, frame in enumerate(recorded_frames()):
        for symbol, events in parser.parse(RawFrames("book", [frame], 0)).events:
            if isinstance(events[0], LineSnapshot | LineDelta):
                messages += len(events)
                assert events[0].check is not None
                out = keepers[symbol].on_events(events, Now(0, number))  # type: ignore[arg-type]
                views = only(BookView, out)
                assert len(views) == len(events)  # none is dropped as an older one
                assert all(view.synced for view in views)
                assert not only(Incident, out)
    assert messages == 2_962


def test_one_digit_of_one_level_breaks_the_checksum_of_the_recording() -> None:
    parser = KrakenParser()
    keeper = LineBookKeeper(KEY, levels=10, every_ms=0, rules=RULES)
    frames = [frame for frame in recorded_frames() if b'"book"' in frame and b"BTC/USD" in frame and b"bids" in frame]
    frames[1] = frames[1].replace(b'"qty":', b'"qty":1', 1)
    out: list[Any] = []
    for frame in frames[:2]:
        for _, events in parser.parse(RawFrames("book", [frame], 0)).events:
            out += keeper.on_events(events, Now(0, 0))  # type: ignore[arg-type]
    assert [item.kind for item in only(Incident, out)] == ["resync"]


def test_a_check_covers_the_levels_that_the_rule_names() -> None:
    best = [(9.0, 1.0), (8.0, 2.0), (7.0, 3.0)]
    kept = Kept()
    kept.take(whole())
    out = kept.take(delta([(1.0, 5.0)], [], at=2_000, proof=check([(1.0, 5.0)], [], best=(best, [(10.0, 1.0)]))))
    assert not only(Incident, out)
