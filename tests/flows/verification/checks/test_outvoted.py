"""Candles that claim that the exchange's are wrong."""

from collections.abc import Sequence

import pytest
from msgspec import structs

from flows.model import Candle, Incident, Kline
from flows.operators.candles.doubt import OUTVOTED
from flows.operators.candles.settle import THEIRS_WRONG
from flows.verification.checks.reading import Klines
from flows.verification.checks.symbol import SymbolVerifier, Task
from sources.binance.rules import RULES
from tests.fakes.candles import kline_like
from tests.fakes.trades import BEGIN, trade
from tests.fakes.verified import SYMBOL, TIMEFRAMES, VENUE, MemoryStores, rows_of, true_candles, verified

MINUTE = 60_000
TRADES = [trade(number, number * 7_000, 100 + number % 13 / 4, 0.25 + number % 7) for number in range(300)]
"""35 minutes of single fills."""
TRUTH = {(one.timeframe, one.open_time): one for one in true_candles(TRADES)}


def carried(minute: int) -> MemoryStores:
    """Stores of trades of which the first one of a minute has a time in the one before it: the candles that this
    changes are claimed to be right, the others are equal to the exchange's.
    """
    at = BEGIN + minute * MINUTE
    first = next(one for one in TRADES if one.time >= at)
    told = [structs.replace(one, time=at - 1) if one is first else one for one in TRADES]
    return claimed(true_candles(told), MemoryStores(rows_of(told), []))


def claimed(candles: Sequence[Candle], stores: MemoryStores) -> MemoryStores:
    incidents = []
    kept = []
    for one in candles:
        is_right = same(one, TRUTH[one.timeframe, one.open_time])
        kept.append(structs.replace(one, proof="equal" if is_right else "theirs wrong"))
        if not is_right:
            incidents.append(Incident("mismatch", VENUE, SYMBOL, one.open_time, one.close_time, "", OUTVOTED))
    return MemoryStores(stores.rows, kept, incidents)


def same(one: Candle, other: Candle) -> bool:
    return (one.figures, one.first_id) == (other.figures, other.first_id)


def get_klines(_: str, timeframe: str, begin: int, end: int) -> Klines:
    found: dict[int, Kline] = {}
    for (name, open_time), one in TRUTH.items():
        if name == timeframe and begin <= open_time < end:
            found[open_time] = kline_like(one, first_id=-1, last_id=-1)
    return Klines(found, (begin, end))


def one_kline_wrong(symbol: str, timeframe: str, begin: int, end: int) -> Klines:
    klines = get_klines(symbol, timeframe, begin, end)
    if timeframe != "1m":
        return klines
    wrong = structs.replace(klines.klines[BEGIN + 3 * MINUTE], volume=999.0)
    return Klines({**klines.klines, wrong.open_time: wrong}, klines.covered)


def places(stores: MemoryStores) -> set[tuple[str, int]]:
    return {(s.candle.timeframe, s.candle.open_time) for s in stores.stored if s.candle.proof == "theirs wrong"}


@pytest.mark.parametrize("minute", [3, 5])
def test_two_that_differ_within_an_equal_period_claim_without_ground(minute: int) -> None:
    stores = carried(minute)
    lying = places(stores)
    assert {("1m", BEGIN + (minute - 1) * MINUTE), ("1m", BEGIN + minute * MINUTE)} <= lying
    found = verified(stores)
    assert {(one.timeframe, one.open_time) for one in found if one.kind == "status"} == lying
    assert {one.claimed for one in found} == {"proof 'theirs wrong'"}


def test_against_the_exchanges_the_trades_are_wrong_and_are_to_be_asked_for() -> None:
    stores = carried(3)
    task = Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE])
    verifier = SymbolVerifier(stores, task, get_klines=get_klines)
    found = {(one.kind, one.open_time) for one in verifier.findings()}
    times = [BEGIN + 2 * MINUTE, BEGIN + 3 * MINUTE]
    assert {(kind, time) for kind in ("status", "refuted", "exchange") for time in times} <= found
    assert [(one.query.begin, one.is_confirmed) for one in verifier.refuted] == [(time, True) for time in times]
    assert [one.truth.trades for one in verifier.refuted] == [TRUTH["1m", time].trades for time in times]
    assert verifier.recounted == {}, "nothing is to be rewritten from these trades"


def test_one_that_alone_differs_is_borne_out() -> None:
    stores = claimed(list(TRUTH.values()), MemoryStores(rows_of(TRADES), []))
    wrong = next(place for place, s in enumerate(stores.stored) if s.candle.open_time == BEGIN + 3 * MINUTE)
    kept = stores.stored[wrong]
    assert kept.candle.timeframe == "1m"
    stores.stored[wrong] = structs.replace(kept, candle=structs.replace(kept.candle, proof="theirs wrong"))
    span = kept.candle.open_time, kept.candle.close_time
    stores.incidents.append(Incident("mismatch", VENUE, SYMBOL, *span, "", OUTVOTED))
    assert verified(stores) == []
    assert verified(stores, get_klines=one_kline_wrong) == []


def test_what_the_exchanges_history_has_said_is_a_ground_of_its_own() -> None:
    stores = carried(3)
    stores.incidents = [structs.replace(one, outcome=THEIRS_WRONG) for one in stores.incidents]
    assert verified(stores) == []
    assert verified(stores, get_klines=get_klines), "unless it says something else"


def test_what_is_not_verified_as_a_whole_decides_nothing() -> None:
    stores = carried(3)
    assert verified(stores, start=BEGIN + 2 * MINUTE, end=BEGIN + 5 * MINUTE) == []
    assert verified(stores, timeframes=("1m",)) == []


def test_once_the_trades_are_right_the_false_claims_are_rewritten_from_them() -> None:
    stores = carried(3)
    lying = places(stores)
    stores.rows = rows_of(TRADES)
    task = Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE])
    verifier = SymbolVerifier(stores, task, get_klines=get_klines)
    assert {(one.timeframe, one.open_time) for one in verifier.findings() if one.kind == "candle"} == lying
    assert set(verifier.recounted) == lying
    for place, one in verifier.recounted.items():
        assert (same(one, TRUTH[place]), one.proof) == (True, "equal")
