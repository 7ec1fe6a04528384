from typing import Any

import pytest
from msgspec import structs

from flows.operators.candles.upgrade import contradicts, improved
from sources.binance.rules import RULES
from tests.fakes.candles import candle

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
    assert improved(structs.replace(other, proof="equal"), VENUE).revision == 5


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
    assert improved(other, UNPROVEN, is_vouched=True).status == "repaired"


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
    assert improved(candle, stored, is_vouched=False) is candle
    better = improved(candle, stored, is_vouched=True)
    assert (better.close, better.revision) == (99.5, stored.revision + 1 + candle.revision)
    assert contradicts(candle, stored)


@pytest.mark.parametrize("stored", [structs.replace(WHOLE, proof="equal"), structs.replace(VENUE, proof="ours wrong")])
def test_a_checksum_does_not_outweigh_a_proof(stored: Any) -> None:
    assert improved(OTHER, stored, is_vouched=True) is OTHER


def test_what_makes_no_claim_contradicts_nothing() -> None:
    for one, stored in ((PARTIAL, OTHER), (OTHER, PARTIAL), (UNPROVEN, OTHER), (WHOLE, WHOLE)):
        assert not contradicts(one, stored)


def test_the_exchanges_own_proves_what_says_the_same() -> None:
    assert improved(VENUE, WHOLE) == structs.replace(WHOLE, proof="equal", event_time=VENUE.event_time)
    other = structs.replace(VENUE, close=WHOLE.close + 0.5)
    assert improved(other, WHOLE).status == "venue"
