"""What every venue of `VENUES` must do, against the replay exchange in the venue's dialect: the acceptance cards of
`docs/adding-a-venue.md`, one test each. `-k kraken` runs those of one venue.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import fsum
from random import Random
from typing import Any, NamedTuple

import polars as pl
import pytest
from msgspec import structs

from flows.bounds import fault_of
from flows.model import (
    EVENT_KINDS,
    TRADE_KINDS,
    BookView,
    Connected,
    Disconnected,
    Incident,
    Kline,
    RawFrames,
    Rejected,
    Removed,
    Subscribed,
)
from flows.names import is_symbol
from flows.operators.candles.compare import differing_fields
from flows.queries import BookQuery, KlinesQuery, PastTradesQuery, TradesQuery
from flows.recovered import TRADES_STEP, state_fault
from flows.steps.trades import sequence_candles
from sources.replay.faults.orders import Drop, Gap, RefuseSubscribe
from sources.replay.market.lives import LifeOrder, Word
from sources.replay.market.symbol_market import SymbolMarket
from sources.venues import VENUES
from tests.fakes.mutations import mutated
from tests.fakes.parsed import runs_of
from tests.fakes.venue_line import LEVELS, VenueLine, venue_line
from tests.fakes.venue_peers import BEGIN, PEERS

MINUTE_MS = 60_000
LEAD_MS = 5_000
"""The market begins so long before a whole minute."""
FRAMES = 300
"""Changed frames of each venue."""


@pytest.fixture(scope="module", params=sorted(VENUES))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


class Played(NamedTuple):
    """What a venue has brought in two minutes without any fault."""

    line: VenueLine
    plans: list[Any]
    market: dict[str, pl.DataFrame]
    """The trades of the exchange, by symbol: prices and quantities in numbers."""
    rest: dict[str, list[Any]]
    """The same by REST."""
    klines: dict[str, list[Kline]]
    statuses: dict[str, str]
    time: int
    past: list[Any]
    books: dict[str, Any]
    """The book of the exchange, and that of REST, when the market stood still."""


def trades_in(market: SymbolMarket) -> pl.DataFrame:
    """Single trades as the exchange has made them."""
    numbers, trades = market.encoder.decimals, market.played_trades()
    return trades.select("id", "time", "maker").with_columns(  # divided here: the frame's own division is not exact
        pl.Series("price", [ticks / 10**numbers.price for ticks in trades["price"]]),
        pl.Series("quantity", [lots / 10**numbers.quantity for lots in trades["quantity"]]),
    )


@pytest.fixture(scope="module")
def run(name: str) -> Played:
    """Two minutes of a venue. As a fixture of the module it fails once, and at once for all others who need it."""
    with venue_line(name, speed=20, begin=BEGIN - LEAD_MS) as line:
        symbols = PEERS[name].symbols
        line.follow(*symbols)
        line.until(
            lambda: lines_of(line, Subscribed) == {plan.line for plan in line.feed.plans(dict.fromkeys(symbols, ()))}
        )
        line.exchange.resume()
        line.until(lambda: all(is_proven(line, symbol) for symbol in symbols))
        line.exchange.pause()
        line.until(lambda: all(is_at_end(line, symbol) for symbol in symbols))
        line.until(lambda: all(has_book(line, symbol) for symbol in symbols))
        instruments = line.answer(line.rest.instruments())
        return Played(
            line,
            line.feed.plans(dict.fromkeys(symbols, ())),
            {symbol: trades_in(market_of(line, symbol)) for symbol in symbols},
            {symbol: line.answer(line.rest.trades(whole(line, symbol))) for symbol in symbols},
            {
                symbol: line.answer(line.rest.klines(KlinesQuery(symbol, "1m", BEGIN, BEGIN + 9 * MINUTE_MS)))
                for symbol in symbols
            },
            {one.symbol: one.status for one in instruments},
            line.answer(line.rest.time()),
            line.answer(line.rest.first_trades(PastTradesQuery(symbols[0], 0, 0, BEGIN, BEGIN + MINUTE_MS - 1))),
            {
                symbol: (book_of(line, symbol), line.answer(line.rest.book(BookQuery(symbol, 100))))
                for symbol in symbols
            },
        )


def lines_of(line: VenueLine, kind: type) -> set[str]:
    return {event.line for event in line.events_of(kind)}


def market_of(line: VenueLine, symbol: str) -> SymbolMarket:
    return line.market.markets[line.peer.instrument(symbol)]


def book_of(line: VenueLine, symbol: str) -> Any:
    row = line.market.depth(line.peer.instrument(symbol), LEVELS)
    assert row is not None
    return tuple([(float(price), float(size)) for price, size in row[side]] for side in ("bids", "asks"))


def has_book(line: VenueLine, symbol: str) -> bool:
    """Whether the book of a market that stands still has come."""
    view = line.view(symbol)
    return view is not None and view.synced and (view.bids, view.asks) == book_of(line, symbol)


def is_at_end(line: VenueLine, symbol: str) -> bool:
    """Whether the newest trade of a market that stands still has come; the last fills may be no aggregate yet."""
    newest = market_of(line, symbol).played_trades()["id"][-1]
    trades = line.sequenced(symbol)
    return bool(trades) and last_fill(trades[-1]) >= newest - 8


def is_proven(line: VenueLine, symbol: str) -> bool:
    """Whether the first minute has its proof, the second one is closed, and there is a trade in the third, by which
    REST knows that too.
    """
    candles = line.closed(symbol, "1m")
    is_closed = BEGIN + MINUTE_MS in candles and line.sequenced(symbol)[-1].time >= BEGIN + 2 * MINUTE_MS
    return is_closed and bool(candles[BEGIN].proof)


def last_fill(trade: Any) -> int:
    found: int = getattr(trade, "last_id", trade.id)
    return found


def first_fill(trade: Any) -> int:
    found: int = getattr(trade, "first_id", trade.id)
    return found


def whole(line: VenueLine, symbol: str) -> TradesQuery:
    trades = line.sequenced(symbol)
    return TradesQuery(symbol, trades[0].id, trades[-1].id, trades[0].time - 1, trades[-1].time + 1)


@contextmanager
def live(name: str, *, speed: float = 4.0, **settings: Any) -> Iterator[VenueLine]:
    """A venue whose market goes on."""
    with venue_line(name, speed=speed, **settings) as line:
        line.follow(*PEERS[name].symbols)
        plans = line.feed.plans(dict.fromkeys(PEERS[name].symbols, ()))
        line.until(lambda: lines_of(line, Subscribed) == {plan.line for plan in plans})
        line.exchange.resume()
        yield line


# --- plans and streams ---


def test_plans_carry_every_stream_once_and_keep_it_where_it_is(name: str, run: Played) -> None:
    one, other = PEERS[name].symbols
    feed, carried = run.line.feed, [pair for plan in run.plans for pair in plan.names.values()]
    assert len(carried) == len(set(carried))
    assert {symbol for symbol, _ in carried} == {one, other}
    assert {kind for _, kind in carried} <= {*run.line.settings.kinds, *TRADE_KINDS, "heartbeat"}
    for symbol in (one, other):
        assert sum(of == symbol and kind in TRADE_KINDS for of, kind in carried) == 1
    halted = frozenset((other,))
    after = feed.plans({other: ()}, run.plans, not_trading=halted)
    assert [(plan.line, plan.url, plan.heartbeat, plan.number) for plan in after[: len(run.plans)]] == [
        (plan.line, plan.url, plan.heartbeat, plan.number) for plan in run.plans
    ]
    for before, plan in zip(run.plans, after, strict=False):
        assert dict(plan.names) == {key: pair for key, pair in before.names.items() if pair[0] == other}
        assert plan.not_trading == (halted if plan.names else frozenset())
    assert all(not plan.names for plan in feed.plans({}, run.plans))


def test_every_stream_of_a_plan_has_messages_and_no_other_does(run: Played) -> None:
    wanted = {stream for plan in run.plans for stream, (_, kind) in plan.names.items() if kind not in EVENT_KINDS}
    beats = {plan.heartbeat for plan in run.plans} - {""}
    found = {run.line.feed.channel_of(frame) for polled in run.line.polled for frame in polled.payloads} - {""}
    assert found - beats == wanted
    assert beats <= found
    assert run.line.rejected == []
    assert run.line.events_of(Disconnected) == []


def test_lines_and_rules_belong_together(name: str, run: Played) -> None:
    rules = VENUES[name].rules
    lines = {plan.line for plan in run.plans}
    assert rules.book_line in {"", *lines}
    depth = {plan.line for plan in run.plans for _, kind in plan.names.values() if kind == "depth"}
    assert len(depth) == 1
    assert rules.book_line in ("", *depth)


# --- trades ---


def test_the_sequence_is_that_of_rest_and_of_the_exchange(name: str, run: Played) -> None:
    for symbol in PEERS[name].symbols:
        trades = run.line.sequenced(symbol)
        assert [trade.id for trade in trades] == list(range(trades[0].id, trades[-1].id + 1))
        assert [comparable(trade) for trade in trades] == [comparable(trade) for trade in run.rest[symbol]]
        between = pl.col("id").is_between(first_fill(trades[0]), last_fill(trades[-1]))
        theirs = run.market[symbol].filter(between)
        assert sum(trade.quantity for trade in trades) == pytest.approx(theirs["quantity"].sum())
        bought = theirs.filter(~pl.col("maker"))["quantity"].sum()
        assert sum(trade.quantity for trade in trades if not trade.buyer_is_maker) == pytest.approx(bought)
        times = dict(zip(theirs["id"], theirs["time"], strict=True))
        prices = dict(zip(theirs["id"], theirs["price"], strict=True))
        for trade in trades:
            assert times[first_fill(trade)] == trade.time
            assert prices[first_fill(trade)] == pytest.approx(trade.price)
        assert fault_of(trades[0], VENUES[name].rules) == ""


def comparable(trade: Any) -> tuple[Any, ...]:
    return trade.id, trade.time, trade.price, trade.quantity, trade.buyer_is_maker, first_fill(trade), last_fill(trade)


def test_the_first_trades_of_a_time_are_found_without_an_id(name: str, run: Played) -> None:
    symbol = PEERS[name].symbols[0]
    first = next(trade for trade in run.rest[symbol] if trade.time >= BEGIN)
    assert run.past[0].id == first.id
    assert all(BEGIN <= trade.time < BEGIN + MINUTE_MS for trade in run.past)


def test_lost_trades_are_fetched_by_their_ids(name: str) -> None:
    with live(name) as line:
        one = PEERS[name].symbols[0]
        line.until(lambda: len(line.sequenced(one)) > 20)
        line.exchange.inject(Gap(stream=PEERS[name].trades_of(one), count=5))
        line.until(lambda: bool([found for found in line.of_symbol(one, Incident) if found.kind == "repair"]))
        lost = next(found for found in line.of_symbol(one, Incident) if found.kind == "repair")
        line.until(lambda: line.sequenced(one)[-1].id > lost.last_id)
        ids = [trade.id for trade in line.sequenced(one)]
        assert ids == list(range(ids[0], ids[-1] + 1))
        streamed = {trade.id for trade in line.streamed[one]}
        fetched = [trade for trade in line.sequenced(one) if trade.id not in streamed]
        assert lost.last_id - lost.first_id + 1 >= len(fetched) > 0
        again = line.answer(
            line.rest.trades(TradesQuery(one, fetched[0].id, fetched[-1].id, fetched[0].time - 1, fetched[-1].time))
        )
        assert [comparable(trade) for trade in again] == [comparable(trade) for trade in fetched]


# --- candles, proofs, books ---


def test_candles_are_the_sums_of_the_exchanges_trades_and_proven_by_its_own(name: str, run: Played) -> None:
    rules = VENUES[name].rules
    for symbol in PEERS[name].symbols:
        candles = run.line.closed(symbol, "1m")
        for begin in (BEGIN, BEGIN + MINUTE_MS):
            summed = kline_of(symbol, begin, run.market[symbol])
            differing = set(differing_fields(candles[begin], summed)) - rules.incomparable_fields
            assert differing == set(), (symbol, begin, candles[begin], summed)
            assert candles[begin].status == "final"
        assert candles[BEGIN].proof in ("equal", "not comparable")
        assert [found for found in run.line.of_symbol(symbol, Incident) if found.begin >= BEGIN] == []


def test_klines_of_rest_are_the_exchanges_and_the_running_one_is_not_closed(name: str, run: Played) -> None:
    rules = VENUES[name].rules
    for symbol in PEERS[name].symbols:
        klines = run.klines[symbol]
        assert [kline.open_time for kline in klines][:2] == [BEGIN, BEGIN + MINUTE_MS]
        assert [kline.is_closed for kline in klines[:2]] == [True, True]
        assert not klines[-1].is_closed or klines[-1].open_time + MINUTE_MS <= run.time
        for kline in klines[:2]:
            assert fault_of(kline, rules) == ""
            summed = kline_of(symbol, kline.open_time, run.market[symbol])
            assert set(differing_fields(summed, kline)) - rules.incomparable_fields == set()
            for field in rules.unreported_fields:
                value = getattr(kline, field)
                assert value == -1 if field == "trades" else value != value  # noqa: PLR0124 - NaN alone is not itself


def kline_of(symbol: str, begin: int, trades: pl.DataFrame) -> Kline:
    """A period by plain sums."""

    def summed(column: pl.Series) -> float:
        return round(fsum(column), 8)  # exact until it is printed: the frame's own sum is not

    rows = trades.filter(pl.col("time").is_between(begin, begin + MINUTE_MS - 1))
    value, bought = rows["price"] * rows["quantity"], ~rows["maker"]
    return Kline(
        symbol=symbol, timeframe="1m", event_time=begin, open_time=begin, open=rows["price"][0],
        high=rows["price"].max(), low=rows["price"].min(), close=rows["price"][-1],  # type: ignore[arg-type]
        volume=summed(rows["quantity"]), quote_volume=summed(value), trades=rows.height,
        taker_buy_volume=summed(rows["quantity"].filter(bought)),
        taker_buy_quote_volume=summed(value.filter(bought)),
        first_id=rows["id"][0], last_id=rows["id"][-1], is_closed=True,
    )  # fmt: skip


def test_the_book_is_the_exchanges(name: str, run: Played) -> None:
    for symbol in PEERS[name].symbols:
        view = run.line.view(symbol)
        assert view is not None
        theirs, of_rest = run.books[symbol]
        assert (view.bids, view.asks) == theirs
        for side, levels in zip((of_rest.bids, of_rest.asks), theirs, strict=True):
            prices = [price for price, _ in side[:3]]  # a venue may leave out what is too small for its REST side
            assert prices == [price for price, _ in levels if price in prices]


def test_a_book_with_lost_changes_is_right_again(name: str) -> None:
    with live(name) as line:
        one = PEERS[name].symbols[0]
        line.until(lambda: (view := line.view(one)) is not None and view.synced)
        before = len(line.of_symbol(one, BookView))
        line.exchange.inject(Gap(stream=PEERS[name].books_of(one), count=3))
        line.until(lambda: any(not view.synced for view in line.of_symbol(one, BookView)[before:]))
        line.until(lambda: (view := line.view(one)) is not None and view.synced)
        line.exchange.pause()
        line.until(lambda: has_book(line, one))


# --- lines ---


def test_a_refused_symbol_is_named_and_the_other_goes_on(name: str) -> None:
    one, other = PEERS[name].symbols
    with venue_line(name) as line:
        line.exchange.inject(RefuseSubscribe(stream=PEERS[name].all_of(other), text="no such thing"))
        line.exchange.resume()
        line.follow(one, other)
        line.until(lambda: bool(line.streamed[one]))
        line.until(lambda: bool([event for event in line.events_of(Disconnected) if event.is_refusal]))
        refusals = [event for event in line.events_of(Disconnected) if event.is_refusal]
        assert {symbol for event in refusals for symbol in event.symbols} == {other}
        assert all("no such thing" in event.reason for event in refusals)
        assert not line.streamed[other]
        line.exchange.clear_faults()
        line.until(lambda: bool(line.streamed[other]))


def test_an_ended_subscription_brings_nothing_more(name: str) -> None:
    one, other = PEERS[name].symbols
    with live(name) as line:
        line.until(lambda: bool(line.streamed[one] and line.streamed[other]))
        line.follow(one)
        line.until(
            lambda: bool([event for event in line.events_of(Removed) if event.is_gone and other in event.symbols])
        )
        before = len(line.streamed[other])
        count = len(line.streamed[one])
        line.until(lambda: len(line.streamed[one]) > count + 20)
        assert len(line.streamed[other]) == before
        assert line.events_of(Disconnected) == []
        assert line.rejected == []


def test_every_end_of_a_socket_is_reported_and_made_good(name: str) -> None:
    with live(name) as line:
        one = PEERS[name].symbols[0]
        line.until(lambda: len(line.sequenced(one)) > 10)
        plans = {plan.line for plan in line.feed.plans(dict.fromkeys(PEERS[name].symbols, ()))}
        for code in (None, 1000, 1008, 1012):
            since = len(line.events)
            line.exchange.inject(Drop(close_code=code, reason="" if code is None else "over"))
            line.until(partial(has_begun_anew, line, plans, since))
            lost = [event for event in line.events[since:] if isinstance(event, Disconnected)]
            assert {event.line for event in lost} == plans
            assert all((str(code) if code else "line cut") in event.reason for event in lost)
        newest = line.sequenced(one)[-1].id
        line.until(lambda: line.sequenced(one)[-1].id > newest + 10)
        ids = [trade.id for trade in line.sequenced(one)]
        assert ids == list(range(ids[0], ids[-1] + 1))
        line.until(lambda: (view := line.view(one)) is not None and view.synced)
        assert len(line.events_of(Connected)) >= 5 * len(plans)


def has_begun_anew(line: VenueLine, lines: set[str], since: int) -> bool:
    """Whether all these lines are subscribed since an event."""
    return {event.line for event in line.events[since:] if isinstance(event, Subscribed)} == lines


# --- the rest ---


def test_the_catalogue_names_what_is_traded(name: str, run: Played) -> None:
    assert set(PEERS[name].symbols) <= set(run.statuses)
    assert all(is_symbol(symbol) for symbol in run.statuses)
    assert {run.statuses[symbol] for symbol in PEERS[name].symbols} == {"TRADING"}
    newest = max(trade.time for symbol in PEERS[name].symbols for trade in run.line.sequenced(symbol))
    assert abs(run.time - newest) < 3_600_000, "it is the venue's own time"


def _is_listed_as_trading(line: VenueLine, symbol: str) -> bool:
    """What the venue's list says; an order takes effect with the market's next moment."""
    return any(one.symbol == symbol and one.status == "TRADING" for one in line.answer(line.rest.instruments()))


def _is_noticed(line: VenueLine, symbol: str, *, is_trading: bool) -> bool:
    """What the streams said of the change before may still arrive."""
    is_said = symbol in line.statuses and (line.statuses[symbol] == "TRADING") is is_trading
    return is_said or symbol in line.source.doubtful()


def test_a_halt_and_its_end_are_noticed_long_before_the_next_list(name: str) -> None:
    """By the venue's streams, or as a doubt by which its list is queried at once."""
    with live(name, speed=10.0, stale_after_s=5.0) as line:
        symbols = PEERS[name].symbols
        halted = symbols[1]
        line.until(lambda: len(line.sequenced(halted)) > 50)
        changes: tuple[tuple[Word, bool], ...] = (("halt", False), ("resume", True))
        for word, is_trading in changes:
            line.statuses.clear()
            line.market.lives.order(LifeOrder(PEERS[name].instrument(halted), word), line.market.now_ms)
            while _is_listed_as_trading(line, halted) is not is_trading:
                line.poll()
                time.sleep(0.2)
            line.until(partial(_is_noticed, line, halted, is_trading=is_trading))
            line.follow(*symbols, not_trading=() if is_trading else (halted,))
            line.until(lambda: halted not in line.source.doubtful())
        begun = len(line.sequenced(halted))
        line.until(lambda: len(line.sequenced(halted)) > begun + 20)
        ids = [trade.id for trade in line.sequenced(halted)]
        assert ids == list(range(ids[0], ids[-1] + 1))


def test_no_changed_frame_raises(name: str, run: Played) -> None:
    parser = VENUES[name].parser()
    frames = [(polled, frame) for polled in run.line.polled for frame in polled.payloads if len(frame) < 20_000]
    seen: dict[str, int] = {}
    several = []
    for polled, frame in frames:
        kind = run.line.feed.channel_of(frame)
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= 10:
            several.append((polled, frame))
    originals = [frame for _, frame in several]
    rejected = 0
    for seed in range(FRAMES):
        polled, original = several[seed % len(several)]
        frame = mutated(original, seed, others=originals).frame
        run.line.feed.channel_of(frame)
        run.line.feed.control_of(frame)
        parsed = parser.parse(RawFrames(polled.line, [frame, original], 0, polled.streams))
        assert all(len({type(event) for event in events}) == 1 for _, events in runs_of(parsed))
        assert all(isinstance(one, Rejected) and one.reason for one in parsed.rejected)
        rejected += len(parsed.rejected)
    assert rejected > FRAMES // 20


def test_odd_frames_are_refused_however_they_are_cut_into_polls(name: str, run: Played) -> None:
    """A frame that holds nothing must not make good for one that holds two messages, which are decoded together."""
    rng = Random(3)
    polls = [poll for poll in run.line.polled if poll.payloads and all(len(one) < 20_000 for one in poll.payloads)]
    for _ in range(FRAMES):
        poll, frames = rng.choice(polls), list[bytes]()
        for true in rng.choices(poll.payloads, k=4):
            odd = (b"", b" ", true + true, true + b"\n" + true, true[: len(true) // 2], true[len(true) // 2 :], b"{}")
            frames += [rng.choice(odd), true] if rng.random() < 0.5 else [rng.choice(odd)]
        cut = rng.randrange(len(frames) + 1)
        expected = found_in(name, poll, [[frame] for frame in frames])
        assert found_in(name, poll, [frames[:cut], frames[cut:]]) == expected, (frames, cut)


def found_in(name: str, poll: RawFrames, polls: list[list[bytes]]) -> tuple[int, dict[Any, list[Any]]]:
    """How much a new parser refuses, and the events by symbol and type."""
    parser, rejected, events = VENUES[name].parser(), 0, dict[Any, list[Any]]()
    for payloads in polls:
        parsed = parser.parse(structs.replace(poll, payloads=payloads))
        rejected += sum(one.count for one in parsed.rejected)
        for symbol, run in runs_of(parsed):
            events.setdefault((symbol, type(run[0])), []).extend(run)
    return rejected, events


def test_a_state_is_resumed(name: str, run: Played) -> None:
    for key, machine in run.line.pipelines.items():
        state = machine.snapshot()
        assert state_fault(TRADES_STEP, key, (key, state)) == ""
        again = sequence_candles(key, state, feed=run.line.settings, can_query=True, rules=VENUES[name].rules)
        assert again.snapshot() == state


def test_an_address_where_nothing_listens_is_reported(name: str) -> None:
    with venue_line(name, ws_url="ws://127.0.0.1:9", backoff_tries=2) as line:
        line.follow(*PEERS[name].symbols)
        line.until(lambda: any(event.lasting for event in line.events_of(Disconnected)))
        assert all("cannot be reached" in event.reason for event in line.events_of(Disconnected))
