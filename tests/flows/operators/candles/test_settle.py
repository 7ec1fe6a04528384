import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flows.clock import Now
from flows.model import Candle, Incident, Kline, StoreOnly
from flows.operators.candles.settle import Settler
from flows.operators.candles.track import Track
from flows.operators.candles.versions import Published, candle_in
from sources.binance.rules import RULES
from tests.fakes.candles import BEGIN, candle, kline_like

NOW = Now(BEGIN, 0)


def settling(*, venue: str = "binance", can_query: bool = False) -> tuple[Settler, Track]:
    track = Track("1m", venue=venue, symbol="BTCUSDT", grace_ms=0, kept_ms=600_000, is_shortest=True)
    return Settler({"1m": track}, rules=RULES[venue], can_query=can_query), track


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
        settler.take_kline(track, of_rest(candle()), NOW, is_final=True)  # what was disputed is queried again
    [one] = track.published.values()
    if one.status == "venue":
        true = (candle().first_id, candle().last_id) if "stream" in reported else (-1, -1)
        assert (one.trades, one.first_id, one.last_id) == (candle().trades, *true)
    else:
        assert (one, can_query, reported) == (ours, True, {"stream"})


def test_ids_of_a_report_that_rest_contradicts_are_not_taken() -> None:
    settler, track = settling(can_query=True)
    settler.take_candle(track, SHIFTED, NOW)
    settler.take_kline(track, kline_like(candle(), high=200.0), NOW)
    [served, *_] = settler.take_kline(track, of_rest(candle()), NOW, is_final=True)
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
