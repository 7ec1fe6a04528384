import pytest

from flows.clock import Now
from flows.model import Candle, Incident, StoreOnly
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
