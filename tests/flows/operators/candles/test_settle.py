from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flows.clock import Now
from flows.model import Candle, Incident, Kline, StoreOnly, TradeBatch
from flows.operators.candles.disputed_trades import DisputedTrades
from flows.operators.candles.settle import (
    AGAIN_MS,
    OURS_WRONG,
    REPORTS_DIFFER,
    TRADES_SAY_OURS,
    Settler,
)
from flows.operators.candles.track import Track
from flows.operators.candles.versions import Published, candle_in
from flows.queries import DisputedTradesQuery
from sources.binance.rules import RULES
from tests.fakes.candles import BEGIN, candle, candle_of, kline_like
from tests.fakes.trades import trade

NOW = Now(BEGIN, 0)
LATER = Now(BEGIN + 20_000, 20_000)


def settling(
    *, venue: str = "binance", can_query: bool = False, disputed: DisputedTrades | None = None
) -> tuple[Settler, Track]:
    track = Track("1m", venue=venue, symbol="BTCUSDT", grace_ms=0, kept_ms=600_000, is_shortest=True)
    disputed = disputed or DisputedTrades(venue, "BTCUSDT")
    return Settler({"1m": track}, disputed, venue=venue, rules=RULES[venue], can_query=can_query), track


def versions(out: list[Published]) -> list[tuple[str, str]]:
    return [(one.status, one.proof) for one in map(candle_in, out) if one is not None]


@pytest.mark.parametrize(
    ("ours", "version"),
    [
        (candle(), ("final", "equal")),
        (candle(status="repaired"), ("repaired", "equal")),
        (candle(status="unproven"), ("final", "equal")),
        (candle(status="partial"), ("final", "equal")),
        (candle(status="partial", trades=3), ("venue", "")),
        (candle(status="unproven", trades=3), ("venue", "ours wrong")),
        (candle(high=200.0), ("venue", "ours wrong")),
    ],
)
def test_a_candle_meets_its_kline(ours: Candle, version: tuple[str, str]) -> None:
    settler, track = settling()
    settler.take_kline(track, kline_like(candle()), NOW)
    assert versions(settler.take_candle(track, ours, NOW)) == [version]


def test_the_order_of_the_two_makes_no_difference_to_what_is_served() -> None:
    for ours in (candle(), candle(status="partial", trades=3), candle(high=200.0)):
        served = []
        for kline_first in (True, False):
            settler, track = settling()
            if kline_first:
                settler.take_kline(track, kline_like(candle()), NOW)
            settler.take_candle(track, ours, NOW)
            if not kline_first:
                settler.take_kline(track, kline_like(candle()), NOW)
            [one] = track.published.values()
            served.append((one.status, one.proof, one.high, one.trades))
        assert served[0] == served[1]


def test_what_the_venue_counts_otherwise_by_design_is_not_comparable() -> None:
    settler, track = settling(venue="binance-usdm")
    ours = candle(venue="binance-usdm")
    settler.take_candle(track, ours, NOW)
    assert versions(settler.take_kline(track, kline_like(ours, trades=43), NOW)) == [("final", "not comparable")]


def test_a_dispute_is_settled_by_the_rest_side() -> None:
    for final, expected in ((candle(), ("final", "theirs wrong")), (candle(high=200.0), ("venue", "ours wrong"))):
        settler, track = settling(can_query=True)
        settler.take_candle(track, candle(), NOW)
        assert settler.take_kline(track, kline_like(candle(), high=200.0), NOW) == []
        assert BEGIN in track.queries
        out = settler.take_kline(track, kline_like(final), NOW, is_final=True)
        assert versions(out) == [expected]
        assert [one.cause for one in out if isinstance(one, Incident)] == ["high 101.5 ≠ 200.0"]
        assert BEGIN not in track.queries


def test_a_kline_of_a_period_that_was_skipped_is_published_and_one_to_come_is_kept() -> None:
    settler, track = settling()
    for minute in (0, 3):
        track.begin(candle(minute))
        settler.take_candle(track, candle(minute), NOW)
    assert versions(settler.take_kline(track, kline_like(candle(2)), NOW)) == [("venue", "")]
    assert settler.take_kline(track, kline_like(candle(4)), NOW) == []
    assert versions(settler.take_candle(track, candle(4), NOW)) == [("final", "equal")]


def test_a_proof_that_comes_behind_the_candle_is_for_the_store() -> None:
    settler, track = settling()
    settler.take_candle(track, candle(), NOW)
    assert settler.take_kline(track, kline_like(candle()), NOW) == [StoreOnly(candle(proof="equal"))]


# --- ids of the exchange's version ---

SHIFTED = candle(last_id=candle().last_id + 4, trades=46, volume=13.0)
"""With four trades that belong to the next minute."""


def of_rest(ours: Candle) -> Kline:
    return kline_like(ours, first_id=-1, last_id=-1)


@given(
    st.permutations(("ours", "stream", "rest")),
    st.sets(st.sampled_from(("stream", "rest")), min_size=1),
    st.sampled_from((SHIFTED, replace(SHIFTED, status="partial"), replace(SHIFTED, status="unproven"))),
    st.booleans(),
)
def test_the_exchanges_version_has_the_exchanges_ids_or_none(
    order: list[str], reported: set[str], ours: Candle, can_query: bool
) -> None:
    """In whatever order they come: ours, the stream's kline, which has ids, and the one of REST, which has none."""
    settler, track = settling(can_query=can_query)
    track.begin(ours)
    for source in order:
        if source == "ours":
            settler.take_candle(track, ours, NOW)
        elif source == "stream" and source in reported:
            settler.take_kline(track, kline_like(candle()), NOW)
        elif source == "rest" and source in reported:
            settler.take_kline(track, of_rest(candle()), NOW, is_final=True)
    if "rest" in reported and can_query:
        settler.take_kline(track, of_rest(candle()), LATER, is_final=True)  # what was disputed is queried again
    [one] = track.published.values()
    if one.status == "venue":
        true = (candle().first_id, candle().last_id) if "stream" in reported else (-1, -1)
        assert (one.trades, one.first_id, one.last_id) == (candle().trades, *true)
    else:
        # the stream's alone does not hold the trades that ours has
        assert (one, reported) == (ours, {"stream"})
        assert can_query or ours.status == "partial"


def test_ids_of_a_report_that_rest_contradicts_are_not_taken() -> None:
    settler, track = settling(can_query=True)
    settler.take_candle(track, SHIFTED, NOW)
    settler.take_kline(track, kline_like(candle(), high=200.0), NOW)
    settler.take_kline(track, of_rest(candle()), NOW, is_final=True)
    [served, *_] = settler.take_kline(track, of_rest(candle()), LATER, is_final=True)
    assert isinstance(served, Candle)
    assert (served.high, served.first_id, served.last_id) == (101.5, -1, -1)


def test_ids_that_come_behind_the_exchanges_version_are_a_new_version_of_it() -> None:
    settler, track = settling()
    settler.take_candle(track, SHIFTED, NOW)
    settler.take_kline(track, of_rest(candle()), NOW, is_final=True)
    [served] = settler.take_kline(track, kline_like(candle()), NOW)
    assert served == candle(status="venue", proof="ours wrong", revision=2)
    assert settler.take_kline(track, kline_like(candle()), NOW) == []
    assert settler.take_kline(track, of_rest(candle()), NOW, is_final=True) == []


# --- a run of amendments ---


def grown(trades: int, **changes: Any) -> Candle:
    """A version of ours that has so many trades too many."""
    return candle(trades=42 + trades, last_id=candle().last_id + trades, volume=12.5 + trades, **changes)


def mismatches(out: list[Published]) -> list[Incident]:
    return [one for one in out if isinstance(one, Incident) and one.kind == "mismatch"]


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(0, 3_000)), max_size=40), st.booleans())
def test_a_run_of_amendments_reports_each_result_once_for_each_kind_of_difference(
    run: list[tuple[int, bool, int]], can_query: bool
) -> None:
    settler, track = settling(can_query=can_query)
    settler.take_kline(track, kline_like(candle()), NOW)
    out: list[Published] = []
    local = queried = 0
    for trades, is_high, step in run:
        local += step
        now = Now(BEGIN + local, local)
        out += settler.take_candle(track, grown(trades, high=200.0 if is_high else candle().high), now)
        if BEGIN in track.queries:
            queried += 1
            out += settler.take_kline(track, of_rest(candle()), now, is_final=True)
    found = mismatches(out)
    assert len(found) <= 2  # sums and ids, and prices
    assert queried <= 1 + local // AGAIN_MS
    if run:
        [one] = track.published.values()
        assert (one.trades, one.first_id, one.last_id) == (42, candle().first_id, candle().last_id)
        assert one.proof == ("equal" if run[-1][:2] == (0, False) else "ours wrong")
    if any(trades or is_high for trades, is_high, _ in run):
        assert found


def test_while_the_word_of_rest_is_new_amendments_cause_neither_queries_nor_versions() -> None:
    disputed = DisputedTrades("binance", "BTCUSDT")
    settler, track = settling(can_query=True, disputed=disputed)
    settler.take_kline(track, kline_like(candle()), NOW)
    settler.take_candle(track, grown(1), NOW)
    settler.take_kline(track, of_rest(candle()), NOW, is_final=True)
    for trades in range(2, 40):
        assert settler.take_candle(track, grown(trades), Now(BEGIN, 200 * trades)) == []
        assert BEGIN not in track.queries
    [served] = track.published.values()
    assert (served.revision, served.status) == (1, "venue")
    assert disputed.dues() == [200 * 39 + AGAIN_MS], "they are fetched when the run is over"
    [query] = disputed.next_queries(Now(BEGIN, 200 * 39 + AGAIN_MS))
    assert query.last_id == grown(39).last_id
    assert versions(settler.take_candle(track, grown(40), Now(BEGIN, 60_000))) == [("final", "")]
    assert BEGIN in track.queries, "a word that is old is asked for again"


def test_a_candle_that_is_amended_to_what_was_disputed_is_equal() -> None:
    settler, track = settling(can_query=True)
    settler.take_candle(track, candle(trades=41), NOW)
    settler.take_kline(track, kline_like(candle()), NOW)
    assert versions(settler.take_candle(track, candle(), NOW)) == [("final", "equal")]
    assert settler.take_kline(track, of_rest(candle()), NOW, is_final=True) == []


# --- the trades of a candle that was wrong ---

LAST = BEGIN + 4 * 60_000
"""The last minute of five, and of all that hold it."""
PERIODS = [candle(0), candle(1), candle(2), candle(3), candle(4)]
PERIODS += [candle(0, timeframe=name) for name in ("5m", "15m", "1h")]
WRONG = [one for one in PERIODS if one.timeframe != "1m" or one.open_time == LAST]


@given(st.permutations(PERIODS), st.permutations(PERIODS), st.booleans())
def test_in_whatever_order_the_timeframes_are_settled_the_same_trades_are_queried(
    streamed: list[Candle], asked: list[Candle], each_at_once: bool
) -> None:
    tracks = {
        name: Track(name, venue="binance", symbol="BTCUSDT", grace_ms=0, kept_ms=600_000, is_shortest=name == "1m")
        for name in ("1m", "5m", "15m", "1h")
    }
    disputed = DisputedTrades("binance", "BTCUSDT")
    settler = Settler(tracks, disputed, venue="binance", rules=RULES["binance"], can_query=True)
    for one in PERIODS:
        ours = replace(one, volume=one.volume * 1.5) if one in WRONG else one
        settler.take_candle(tracks[one.timeframe], ours, NOW)

    def answer(one: Candle) -> None:
        track = tracks[one.timeframe]
        if one.open_time in track.queries:
            settler.take_kline(track, of_rest(one), NOW, is_final=True)

    for one in streamed:
        settler.take_kline(tracks[one.timeframe], kline_like(one), NOW)
        if each_at_once:
            answer(one)
    for one in asked:
        answer(one)
    wrong = PERIODS[4]
    query = DisputedTradesQuery("BTCUSDT", wrong.first_id, wrong.last_id, wrong.open_time, wrong.close_time)
    assert query.begin == LAST
    assert disputed.next_queries(NOW) == [query]
    for one in PERIODS:
        served = tracks[one.timeframe].published[one.open_time]
        assert (served.volume, served.status) == (one.volume, "venue" if one in WRONG else "final")


@pytest.mark.parametrize(
    ("ours", "theirs", "ids"),
    [
        (SHIFTED, candle(), (1_000, 1_045)),
        (candle(), SHIFTED, (1_000, 1_045)),
        (candle(first_id=1_004, trades=38), candle(), (1_000, 1_041)),
        (candle(high=200.0, first_id=1_004), candle(first_id=-1, last_id=-1), (1_004, 1_041)),
        (candle(first_id=-1, last_id=-1, trades=0, volume=0.0), candle(), (1_000, 1_041)),
    ],
)
def test_the_ids_that_either_version_names_are_queried(ours: Candle, theirs: Candle, ids: tuple[int, int]) -> None:
    disputed = DisputedTrades("binance", "BTCUSDT")
    settler, track = settling(can_query=True, disputed=disputed)
    settler.take_candle(track, ours, NOW)
    settler.take_kline(track, kline_like(theirs), NOW)
    settler.take_kline(track, of_rest(theirs), NOW, is_final=True)
    [query] = disputed.next_queries(NOW)
    assert (query.first_id, query.last_id, query.begin) == (*ids, BEGIN)


# --- one answer of REST against others ---

LIE = candle(high=200.0)


def outcomes(out: list[Published]) -> list[tuple[str, str]]:
    return [(one.cause, one.outcome) for one in mismatches(out)]


def again(seconds: int) -> Now:
    return Now(BEGIN + seconds * 1_000, seconds * 1_000)


def test_one_answer_does_not_overturn_what_trades_and_the_stream_say() -> None:
    settler, track = settling(can_query=True)
    settler.take_candle(track, candle(), NOW)
    settler.take_kline(track, kline_like(candle()), NOW)
    out = settler.take_kline(track, of_rest(LIE), again(1), is_final=True)
    assert outcomes(out) == [("high 101.5 ≠ 200.0", REPORTS_DIFFER)]
    assert BEGIN in track.queries
    assert mismatches(settler.take_kline(track, of_rest(LIE), again(1), is_final=True)) == [], "not at another time"
    assert versions(settler.take_kline(track, of_rest(candle()), again(20), is_final=True)) == []
    assert track.published[BEGIN] == candle(proof="equal")
    assert BEGIN not in track.queries


@given(st.permutations(("rest", "stream")))
def test_one_answer_and_a_late_stream_are_an_incident_and_the_trades_stand(order: list[str]) -> None:
    settler, track = settling(can_query=True)
    settler.take_candle(track, candle(), NOW)
    out: list[Published] = []
    for place, source in enumerate(order):
        report, is_final = (of_rest(LIE), True) if source == "rest" else (kline_like(candle()), False)
        out += settler.take_kline(track, report, again(place), is_final=is_final)
    assert track.published[BEGIN] == candle(proof="equal")
    assert {cause for cause, _ in outcomes(out)} <= {"high 101.5 ≠ 200.0", "high 200.0 ≠ 101.5"}
    assert len(outcomes(out)) == 1


@given(st.lists(st.sampled_from(("true", "lie", "other")), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_of_trades_against_rest_what_rest_says_first_twice_or_with_another_is_served(
    answers: list[str], is_ours_wrong: bool, has_stream: bool
) -> None:
    reports = {"true": candle(), "lie": LIE, "other": candle(low=50.0)}
    settler, track = settling(can_query=True)
    settler.take_candle(track, grown(3) if is_ours_wrong else candle(), NOW)
    if has_stream:
        settler.take_kline(track, kline_like(candle()), NOW)
    before = ""
    for place, name in enumerate(answers):
        settler.take_kline(track, of_rest(reports[name]), again(20 * (place + 1)), is_final=True)
        served = track.published[BEGIN]
        is_two = name == before or (name == "true" and (has_stream or not is_ours_wrong))
        if is_two and not (name != "true" and has_stream and not is_ours_wrong):
            assert (served.prices, served.trades) == (reports[name].prices, reports[name].trades)
            return
        assert served.trades == (45 if is_ours_wrong else 42)
        assert served.high == candle().high
        assert served.status == "final"
        before = name


@pytest.mark.parametrize("answer", ["ours", "theirs", "neither"])
def test_what_rest_says_twice_against_both_its_trades_decide(answer: str) -> None:
    trades = [trade(number, number * 100, 100.0 + number) for number in range(1, 9)]
    others = [replace(one, price=one.price + 7) for one in trades]
    neither = [replace(one, price=one.price + 9) for one in trades]
    ours, theirs = candle_of(trades), candle_of(others)
    disputed = DisputedTrades("binance", "BTCUSDT")
    settler, track = settling(can_query=True, disputed=disputed)
    settler.take_candle(track, ours, NOW)
    settler.take_kline(track, kline_like(ours), NOW)
    settler.take_kline(track, of_rest(theirs), again(1), is_final=True)
    assert disputed.dues() == []
    assert versions(settler.take_kline(track, of_rest(theirs), again(30), is_final=True)) == []
    [query] = disputed.next_queries(again(30))
    given_trades = {"ours": trades, "theirs": others, "neither": neither}[answer]
    batch = TradeBatch("binance", "BTCUSDT", given_trades, late=True)
    out = settler.take_trades(query, batch, again(31))
    served = track.published[BEGIN]
    if answer == "theirs":
        assert (served.prices, served.status, served.proof) == (theirs.prices, "venue", "ours wrong")
        assert [outcome for _, outcome in outcomes(out)] == [OURS_WRONG]
    else:
        assert served == replace(ours, proof="equal")
        assert [outcome for _, outcome in outcomes(out)] == ([TRADES_SAY_OURS] if answer == "ours" else [])


def test_a_served_report_of_the_stream_gives_way_to_what_rest_says_again() -> None:
    settler, track = settling(can_query=True)
    settler.take_candle(track, candle(status="partial", trades=40), NOW)
    settler.take_kline(track, kline_like(LIE), NOW)
    assert track.published[BEGIN].high == 200.0
    assert outcomes(settler.take_kline(track, of_rest(candle()), again(1), is_final=True))
    assert track.published[BEGIN].high == 200.0
    settler.take_kline(track, of_rest(candle()), again(20), is_final=True)
    assert (track.published[BEGIN].high, track.published[BEGIN].status) == (101.5, "venue")


def test_trades_that_rest_bears_out_after_all_return() -> None:
    settler, track = settling(can_query=True)
    settler.take_candle(track, candle(), NOW)
    settler.take_kline(track, kline_like(LIE), NOW)
    settler.take_kline(track, of_rest(LIE), NOW, is_final=True)
    assert track.published[BEGIN].status == "venue"
    assert versions(settler.take_kline(track, of_rest(candle()), again(60), is_final=True)) == [("final", "equal")]


# --- a trade in the wrong period ---

FIVE = [candle(minute) for minute in range(5)] + [candle(0, timeframe="5m")]


@given(st.permutations(FIVE), st.permutations(FIVE), st.sets(st.sampled_from(range(5)), min_size=1, max_size=2))
def test_two_differences_inside_an_equal_period_are_ours_and_one_is_the_exchanges(
    streamed: list[Candle], asked: list[Candle], differing: set[int]
) -> None:
    """Ours of two minutes cancel out, as where a trade is in the wrong one; the five of all is equal."""
    tracks = {
        name: Track(name, venue="binance", symbol="BTCUSDT", grace_ms=0, kept_ms=600_000, is_shortest=name == "1m")
        for name in ("1m", "5m")
    }
    disputed = DisputedTrades("binance", "BTCUSDT")
    settler = Settler(tracks, disputed, venue="binance", rules=RULES["binance"], can_query=True)
    shifts = dict(zip(sorted(differing), (1, -1), strict=False))
    for one in FIVE:
        shift = shifts.get((one.open_time - BEGIN) // 60_000, 0) if one.timeframe == "1m" else 0
        ours = replace(one, trades=one.trades + shift, volume=one.volume + shift)
        settler.take_candle(tracks[one.timeframe], ours, NOW)
    for place, one in enumerate([*streamed, *asked]):
        track = tracks[one.timeframe]
        if place < len(streamed):
            settler.take_kline(track, kline_like(one), NOW)
            claims = [c.proof for c in track.published.values() if c.proof == "theirs wrong"]
            assert not claims, "not before REST has said the same"
        elif one.open_time in track.queries:
            settler.take_kline(track, of_rest(one), again(1), is_final=True)
    proofs = {minute: tracks["1m"].published[BEGIN + minute * 60_000].proof for minute in range(5)}
    expected = "ours wrong" if len(differing) == 2 else "theirs wrong"
    assert proofs == {minute: expected if minute in differing else "equal" for minute in range(5)}
    if len(differing) == 2:
        assert len(disputed.next_queries(again(1))) == 2, "their trades are asked for again"
