import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flows.model import Candle, Incident
from flows.operators.candles.doubt import OUTVOTED, Doubt
from flows.operators.candles.track import MOST_RUNS, Agreed, Track
from tests.fakes.candles import BEGIN, candle, kline_like

MINUTE = 60_000
FIVE = candle(0, timeframe="5m")


def tracks(*names: str) -> dict[str, Track]:
    return {
        name: Track(name, venue="binance", symbol="BTCUSDT", grace_ms=0, kept_ms=0, is_shortest=name == names[0])
        for name in names
    }


def published(some: dict[str, Track], *candles: Candle) -> Doubt:
    for one in candles:
        some[one.timeframe].publish(one, one.proof)
    return Doubt(some)


def statuses(track: Track) -> list[str]:
    return [one.status for one in track.published.values()]


def test_a_refuted_candle_puts_what_holds_its_trades_in_doubt_unless_it_has_a_proof_of_its_own() -> None:
    some = tracks("1m", "5m", "1h")
    inside = [candle(0), candle(1, proof="equal"), candle(2, status="partial"), candle(5)]
    doubt = published(some, *inside, FIVE, candle(0, timeframe="1h"))
    out = doubt.refute(some["5m"], FIVE)
    assert statuses(some["1m"]) == ["unproven", "final", "partial", "final"]
    assert statuses(some["1h"]) == ["unproven"]
    assert [(one.timeframe, one.revision) for one in out if isinstance(one, Candle)] == [("1m", 1), ("1h", 1)]


def test_a_confirmed_candle_takes_the_doubt_away_from_those_inside_it() -> None:
    some = tracks("1m", "5m")
    doubt = published(some, candle(0, status="unproven"), candle(1, status="partial"), FIVE)
    doubt.confirm(some["5m"], FIVE)
    assert statuses(some["1m"]) == ["final", "partial"]


def test_a_candle_is_confirmed_by_the_kline_of_a_longer_period_around_it() -> None:
    some = tracks("1m", "5m")
    others = [candle(minute, proof="equal") for minute in (0, 1, 2, 4, 5, 7, 8, 9)]
    doubt = published(some, *others, candle(6), candle(5, timeframe="5m", proof="equal"))
    assert doubt.is_confirmed_around(some["1m"], candle(6))
    assert not doubt.is_confirmed_around(some["1m"], candle(3))


@pytest.mark.parametrize("other", [None, candle(8), candle(8, proof="not comparable"), candle(8, status="venue")])
def test_it_is_not_where_another_one_inside_differs_or_is_not_known_to_be_equal(other: Candle | None) -> None:
    some = tracks("1m", "5m")
    others = [candle(minute, proof="equal") for minute in (5, 7, 9)]
    doubt = published(some, *others, candle(6), candle(5, timeframe="5m", proof="equal"))
    if other is not None:
        published(some, other)
    assert not doubt.is_confirmed_around(some["1m"], candle(6))


def test_a_longer_candle_that_holds_the_exchanges_kline_vouches_for_nothing_inside() -> None:
    some = tracks("1m", "5m")
    doubt = published(some, candle(0, status="unproven"), candle(0, timeframe="5m", proof="equal"))
    some["1m"].refute(candle(1), kline_like(candle(1), high=500.0))
    some["5m"].seeded.add(BEGIN)
    assert not doubt.is_confirmed_around(some["1m"], candle(1))
    assert doubt.confirm(some["5m"], FIVE) == []
    assert doubt.is_refuted_inside(some["5m"], FIVE)


def test_a_refuted_candle_is_reinstated_by_the_kline_of_a_longer_period() -> None:
    some = tracks("1m", "5m")
    others = [candle(minute, proof="equal") for minute in (0, 2, 3)]
    doubt = published(some, *others, candle(1, status="venue", high=500.0), replace(FIVE, proof="equal"))
    some["1m"].refuted[BEGIN + MINUTE] = candle(1), kline_like(candle(1), high=500.0)
    assert doubt.is_refuted_inside(some["5m"], FIVE)
    assert not doubt.is_refuted_inside(some["5m"], candle(5, timeframe="5m"))
    assert doubt.confirm(some["5m"], FIVE) == [], "the last minute is not known"
    published(some, candle(4, proof="equal"))
    ours, incident = doubt.confirm(some["1m"], candle(4))
    assert ours == candle(1, revision=1, proof="theirs wrong")
    assert isinstance(incident, Incident)
    assert (incident.cause, incident.outcome) == ("high 101.5 ≠ 500.0", OUTVOTED)
    assert not doubt.is_refuted_inside(some["5m"], FIVE)


def test_a_confirmed_candle_leaves_the_doubt_around_and_inside_a_refuted_one() -> None:
    """A trade is in the wrong one of two minutes and of two fives."""
    some = tracks("1s", "1m", "5m", "1h")
    second = candle(4, timeframe="1s", status="unproven")
    fives = [candle(minute, timeframe="5m", status="unproven") for minute in (0, 5, 10)]
    minute = candle(4, status="venue", proof="ours wrong")
    doubt = published(some, second, minute, *fives, candle(0, timeframe="1h", proof="equal"))
    for number in (4, 5):
        some["1m"].refute(candle(number), kline_like(candle(number), volume=13.0))
    doubt.confirm(some["1h"], candle(0, timeframe="1h"))
    assert statuses(some["1s"]) == ["unproven"]
    assert statuses(some["5m"]) == ["unproven", "unproven", "final"]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60), st.integers(0, 6), st.integers(0, 6))
def test_what_is_agreed_is_a_set_of_periods(changes: list[tuple[bool, int]], begin: int, count: int) -> None:
    agreed, known = Agreed(10), set[int]()
    for is_added, number in changes:
        (agreed.add if is_added else agreed.discard)(number * 10)
        (known.add if is_added else known.discard)(number)
    assert {number for number in range(13) if number * 10 in agreed} == known
    assert agreed.hold_all(begin * 10, (begin + count) * 10) == ({*range(begin, begin + count)} <= known)


def test_of_many_runs_the_newest_are_known() -> None:
    agreed = Agreed(10)
    for number in range(MOST_RUNS + 5):
        agreed.add(number * 20)
    assert [number for number in range(10) if number * 20 in agreed] == [5, 6, 7, 8, 9]
