from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.bounds import VenueRules
from flows.model import UNVOUCHED, Candle, Evidence, KlineSource, Origin, evidence
from flows.operators.candles.upgrade import CLOSED, contradicts, improved
from sources.binance.rules import RULES
from tests.fakes.candles import candle

SEALED = Origin(has_vouched_trades=True, klines="checksum")
SEALED_TRADES = Origin(has_vouched_trades=True)
ORIGINS = [Origin(trades, klines) for trades in (False, True) for klines in get_args(KlineSource)]

WHOLE = candle()
PARTIAL = candle(status="partial", trades=3, revision=2)
VENUE = candle(status="venue", first_id=-1, last_id=-1, revision=4)


@pytest.mark.parametrize("stored", [PARTIAL, VENUE])
def test_all_trades_are_the_next_revision_of_some_or_none(stored: Any) -> None:
    assert improved(WHOLE, stored) == structs.replace(WHOLE, status="repaired", revision=stored.revision + 1)
    amended = structs.replace(WHOLE, revision=1)
    assert improved(amended, stored).revision == stored.revision + 2


def test_the_exchanges_own_takes_the_place_of_some_trades() -> None:
    assert improved(VENUE, structs.replace(PARTIAL, revision=0)) == structs.replace(VENUE, revision=5)
    assert improved(VENUE, VENUE) is VENUE


@pytest.mark.parametrize("stored", [PARTIAL, VENUE])
def test_some_trades_take_no_place(stored: Any) -> None:
    some = structs.replace(PARTIAL, trades=5)
    assert improved(some, stored) is some


def test_where_trades_say_something_else_the_exchanges_word_stands_unless_it_confirms_them() -> None:
    other = structs.replace(WHOLE, close=99.5)
    assert improved(other, VENUE) is other
    proven = structs.replace(other, proof="equal")
    assert improved(proven, VENUE, origin=SEALED).revision == 5
    assert improved(proven, VENUE) is proven, "a kline of a file is no match for the exchange's own"
    assert improved(proven, VENUE, stored_origin=UNVOUCHED).revision == 5


def test_futures_volumes_may_differ_by_design() -> None:
    ours, theirs = (structs.replace(version, venue="binance-usdm") for version in (WHOLE, VENUE))
    assert improved(structs.replace(ours, volume=12.0), theirs, rules=RULES["binance-usdm"]).status == "repaired"
    assert improved(structs.replace(ours, close=99.5), theirs, rules=RULES["binance-usdm"]).status == "final"


UNPROVEN = candle(status="unproven", revision=1)


def test_all_trades_take_a_doubt_away() -> None:
    assert improved(WHOLE, UNPROVEN) == structs.replace(WHOLE, revision=2)
    more = structs.replace(WHOLE, trades=WHOLE.trades + 1)
    assert improved(more, UNPROVEN).status == "repaired"


def test_the_same_trades_with_other_values_take_a_doubt_away_only_when_something_speaks_for_them() -> None:
    other = structs.replace(WHOLE, close=99.5)
    assert improved(other, UNPROVEN) is other
    assert improved(structs.replace(other, proof="equal"), UNPROVEN).status == "repaired"
    assert improved(other, UNPROVEN, origin=SEALED_TRADES).status == "repaired"


def test_of_two_without_a_proof_the_one_with_more_trades_wins() -> None:
    flat = candle(trades=0, volume=0.0, first_id=-1, last_id=-1)
    assert improved(WHOLE, flat) == structs.replace(WHOLE, status="repaired", revision=1)
    assert improved(flat, WHOLE) is flat
    assert improved(WHOLE, structs.replace(flat, proof="equal")) is WHOLE


def test_a_doubt_is_news_only_of_what_was_believed_before() -> None:
    doubted = structs.replace(UNPROVEN, revision=1)
    assert improved(doubted, WHOLE).revision == 2
    assert improved(structs.replace(doubted, revision=0), WHOLE).revision == 0
    proven = structs.replace(WHOLE, proof="equal")
    assert improved(doubted, proven) is doubted


OTHER = structs.replace(WHOLE, close=99.5)


@pytest.mark.parametrize(
    ("candle", "stored"),
    [
        (OTHER, WHOLE),
        (OTHER, structs.replace(VENUE, proof="")),
        (structs.replace(VENUE, close=99.5), VENUE),
        (structs.replace(VENUE, close=99.5), structs.replace(VENUE, proof="ours wrong")),
    ],
)
def test_what_a_checksum_vouches_for_corrects_what_nothing_proves(candle: Any, stored: Any) -> None:
    assert improved(candle, stored, origin=UNVOUCHED) is candle
    better = improved(candle, stored, origin=SEALED)
    assert (better.close, better.revision) == (99.5, stored.revision + 1 + candle.revision)
    assert contradicts(candle, stored)


@pytest.mark.parametrize("stored", [structs.replace(WHOLE, proof="equal"), structs.replace(VENUE, proof="ours wrong")])
def test_a_checksum_does_not_outweigh_a_proof(stored: Any) -> None:
    assert improved(OTHER, stored, origin=SEALED_TRADES) is OTHER


def test_what_makes_no_claim_contradicts_nothing() -> None:
    for one, stored in ((PARTIAL, OTHER), (OTHER, PARTIAL), (UNPROVEN, OTHER), (WHOLE, WHOLE)):
        assert not contradicts(one, stored)


def test_the_exchanges_own_proves_what_says_the_same() -> None:
    assert improved(VENUE, WHOLE) == structs.replace(WHOLE, proof="equal", event_time=VENUE.event_time)
    other = structs.replace(VENUE, close=WHOLE.close + 0.5)
    assert improved(other, WHOLE).status == "venue"


# --- how well a value is proven ---


def versions() -> st.SearchStrategy[Candle]:
    """Closed candles of one period: of any status, proof, values and trades."""
    return st.builds(
        candle,
        status=st.sampled_from(CLOSED),
        proof=st.sampled_from(["", "equal", "ours wrong", "theirs wrong", "not comparable"]),
        close=st.sampled_from([99.5, 100.5, 101.0]),
        trades=st.integers(41, 43),
        first_id=st.integers(999, 1_001),
        last_id=st.integers(1_040, 1_042),
        revision=st.integers(0, 2),
    )


def said(version: Candle) -> tuple[float, ...]:
    return version.open, version.high, version.low, version.close, version.volume, version.trades


@given(new=versions(), stored=versions(), origin=st.sampled_from(ORIGINS), stored_origin=st.sampled_from(ORIGINS))
def test_what_is_proven_less_changes_no_value_and_takes_no_claim_away(
    new: Candle, stored: Candle, origin: Origin, stored_origin: Origin
) -> None:
    version = improved(new, stored, origin=origin, stored_origin=stored_origin)
    if evidence(new, origin) >= evidence(stored, stored_origin) or version is new:
        return
    assert said(version) == said(stored)
    assert version.status in ("final", "repaired", "venue") or version.status == stored.status


@given(new=versions(), stored=versions(), origin=st.sampled_from(ORIGINS), stored_origin=st.sampled_from(ORIGINS))
def test_of_two_that_claim_to_be_right_the_one_that_is_proven_more_is_served_in_whatever_order_they_come(
    new: Candle, stored: Candle, origin: Origin, stored_origin: Origin
) -> None:
    gain = evidence(new, origin) - evidence(stored, stored_origin)
    if not (gain and contradicts(new, stored) and contradicts(stored, new)):
        return
    served = []
    for one, of, other, of_other in ((new, origin, stored, stored_origin), (stored, stored_origin, new, origin)):
        version = improved(one, other, origin=of, stored_origin=of_other)
        served.append(said(other if version is one else version))
    assert served == [said(new if gain > 0 else stored)] * 2


def test_the_evidence_of_a_candle() -> None:
    proven = structs.replace(WHOLE, proof="equal")
    lone = structs.replace(VENUE, proof="")
    found = [evidence(one, origin) for origin in (UNVOUCHED, SEALED_TRADES, SEALED) for one in (WHOLE, proven, lone)]
    assert found == [
        Evidence.NOTHING, Evidence.FILE, Evidence.FILE,
        Evidence.TRADES, Evidence.TRADES, Evidence.FILE,
        Evidence.TRADES, Evidence.PROVEN, Evidence.PROVEN,
    ]  # fmt: skip
    live = Origin(klines="exchange")
    assert [evidence(one, live) for one in (WHOLE, proven, lone)] == [
        Evidence.NOTHING, Evidence.PROVEN, Evidence.REPORTED,
    ]  # fmt: skip


def test_neither_more_trades_nor_a_kline_of_a_file_outweigh_a_checksum() -> None:
    more = structs.replace(OTHER, trades=WHOLE.trades + 1, first_id=WHOLE.first_id - 1)
    some = structs.replace(OTHER, status="partial")
    for new in (more, structs.replace(OTHER, proof="equal"), some, structs.replace(more, status="unproven")):
        assert improved(new, WHOLE, stored_origin=SEALED_TRADES) is new
        assert improved(new, structs.replace(WHOLE, proof="equal"), stored_origin=SEALED_TRADES) is new
    assert (
        improved(OTHER, structs.replace(WHOLE, proof="equal"), origin=SEALED_TRADES, stored_origin=UNVOUCHED).close
        == 99.5
    )


def test_some_trades_that_are_none_of_the_stored_ones_contradict_it() -> None:
    some = structs.replace(PARTIAL, high=WHOLE.high + 1)
    assert contradicts(some, WHOLE)
    assert not contradicts(some, structs.replace(WHOLE, status="unproven"))


# --- ids, which only klines of the stream state ---

SPOT = RULES["binance"]


def shifted(by: int, **changes: Any) -> Candle:
    """As `WHOLE` with ids that are so much too high, and nothing else."""
    return structs.replace(WHOLE, first_id=WHOLE.first_id + by, last_id=WHOLE.last_id + by, **changes)


def ids(version: Candle) -> tuple[int, int]:
    return version.first_id, version.last_id


def without_ids(version: Candle) -> Candle:
    return structs.replace(version, first_id=-1, last_id=-1, revision=0, status="final", event_time=0)


claims = st.sampled_from(["final", "repaired"])
proofs = st.sampled_from(["", "equal", "theirs wrong", "not comparable"])


@given(
    new=st.builds(shifted, st.just(0), status=claims, proof=proofs, revision=st.integers(0, 2), event_time=st.just(7)),
    stored=st.builds(
        shifted, st.integers(1, 1_000), status=st.sampled_from(["final", "repaired", "unproven"]), proof=proofs,
        revision=st.integers(0, 2),
    ).filter(lambda one: not (one.proof and one.status == "unproven")),
    origin=st.sampled_from(ORIGINS),
    stored_origin=st.sampled_from(ORIGINS),
    rules=st.sampled_from([*RULES.values()]),
)  # fmt: skip
def test_of_two_that_differ_in_ids_alone_the_ids_of_vouched_trades_win_unless_a_kline_states_the_others(
    new: Candle, stored: Candle, origin: Origin, stored_origin: Origin, rules: VenueRules
) -> None:
    version = improved(new, stored, origin=origin, stored_origin=stored_origin, rules=rules)
    served = stored if version is new else version
    is_stated = stored.proof and stored_origin.klines == "exchange" and not rules.incomparable_fields
    wins = origin.has_vouched_trades and not is_stated
    assert ids(served) == ids(new if wins else stored)
    assert served.revision > stored.revision or ids(served) == ids(stored)
    # what else is decided is as without the difference: a proof is kept or added, and no claim is lost
    assert served.status in ("final", "repaired") or (served.status == stored.status and not new.proof)
    assert without_ids(served) == without_ids(structs.replace(stored, proof=served.proof))
    assert served.proof in {stored.proof, new.proof}
    assert served.proof or not stored.proof
    again = improved(new, served, origin=origin, stored_origin=origin if wins else stored_origin, rules=rules)
    assert again is new or ids(again) == ids(served)


@given(status=claims, proof=proofs, by=st.integers(1, 1_000))
def test_ids_without_a_voucher_neither_change_ids_nor_take_a_doubt_about_them_away(
    status: Any, proof: Any, by: int
) -> None:
    false = shifted(by, status=status, proof=proof)
    served = improved(false, WHOLE, origin=Origin(klines="checksum"), rules=SPOT)
    assert served is false or ids(served) == ids(WHOLE)
    assert contradicts(false, WHOLE, rules=SPOT)
    doubted = structs.replace(WHOLE, status="unproven")
    assert improved(shifted(by), doubted, rules=SPOT) == shifted(by), "the doubt stays"
