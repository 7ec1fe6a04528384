from flows.model import Candle, Incident
from flows.operators.candles.doubt import OUTVOTED, Doubt
from flows.operators.candles.track import Track
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
    doubt = published(some, candle(6), candle(5, timeframe="5m", proof="equal"))
    assert doubt.is_confirmed_around(some["1m"], candle(6))
    assert not doubt.is_confirmed_around(some["1m"], candle(3))


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
    doubt = published(some, candle(1, status="venue", high=500.0), FIVE)
    some["1m"].refuted[BEGIN + MINUTE] = candle(1), kline_like(candle(1), high=500.0)
    assert doubt.is_refuted_inside(some["5m"], FIVE)
    assert not doubt.is_refuted_inside(some["5m"], candle(5, timeframe="5m"))
    ours, incident = doubt.confirm(some["5m"], FIVE)
    assert ours == candle(1, revision=1, proof="theirs wrong")
    assert isinstance(incident, Incident)
    assert (incident.cause, incident.outcome) == ("high 101.5 ≠ 500.0", OUTVOTED)
    assert not doubt.is_refuted_inside(some["5m"], FIVE)
