"""A stream of which all ids are wrong is `silent` while that lasts, and what is true is in the store in the end."""

from random import Random

import pytest
from msgspec import structs

from flows.model import AggregateTrade, Gap, Incident, TradeBatch, TradeWitness
from flows.operators.trades.disputes import OUTCOME
from tests.fakes import wrong_tape
from tests.fakes.trades import BEGIN
from tests.fakes.wrong_tape import EVERY_MS, FIRST_ID, Wrong, WrongTape, shifted

BEGIN_MS, END_MS, LAST_MS = 10_000, 30_000, 40_000
LATEST_MS = 4_000
"""From the begin of the fault to `silent`: the time that a refusal takes, and `REFUSED_MS`."""

IDS = ("id", "first_id", "last_id")


def scattered(most: int) -> Wrong:
    """Each trade of a stream has another distance to its true id."""
    random = Random(7)

    def wrong(one: AggregateTrade, _: int) -> AggregateTrade:
        by = random.randint(20_000, most)
        return structs.replace(one, id=one.id + by, first_id=one.first_id + by, last_id=one.last_id + by)

    return wrong


def with_gaps(by: int) -> Wrong:
    """Ids too high, of which every other one is missing."""
    return lambda one, number: shifted(by + number, *IDS)(one, number)


WRONG: dict[str, Wrong] = {
    **{f"by {by}": shifted(by, *IDS) for by in (40, 500, 5_555, 7_777, 31_337, 100_000, 900_000, 2_000_000, 2**53)},
    **{f"by {by}": shifted(by, *IDS) for by in (-3, -40, -5_555, -31_337, -2_000_000)},
    "with gaps": with_gaps(31_337),
    "far with gaps": with_gaps(3_000_000),
    "scattered": scattered(40_000),
    "far scattered": scattered(900_000),
    "low with gaps": with_gaps(-31_337),
}


# where fills need not follow, trades that are wrong by 3 continue the true ones: the candles' comparison finds them
@pytest.mark.parametrize("has_klines", [True, False])
@pytest.mark.parametrize(
    ("name", "fills_follow"),
    [(name, follow) for name in WRONG for follow in (True, False) if follow or name != "by -3"],
)
def test_a_stream_of_wrong_ids_is_refused_while_it_lasts(name: str, has_klines: bool, fills_follow: bool) -> None:
    tape = WrongTape(fills_follow=fills_follow, has_klines=has_klines)
    tape.play(BEGIN_MS)
    tape.play(END_MS, WRONG[name])
    before = tape.queries
    tape.play(LAST_MS)
    witnesses = [(local, item) for local, item in tape.said if isinstance(item, TradeWitness)]
    since = next(local for local, item in witnesses if item.is_ahead)
    assert since <= BEGIN_MS + LATEST_MS
    assert all(item.is_ahead for local, item in witnesses if local < END_MS)
    reasons = [item.reason for local, item in witnesses if local < BEGIN_MS + LATEST_MS]
    assert any(reason.startswith("everything that aggTrade brings is refused: ") for reason in reasons)
    assert [local for local, item in tape.said if isinstance(item, Incident) and item.kind == "silent"] == [since]
    ended = [local for local, item in witnesses if not item.is_ahead]
    assert ended
    assert END_MS <= ended[0] <= END_MS + 3_000
    assert not witnesses[-1][1].is_ahead
    refused = [local for local in tape.refused_at() if local < END_MS]
    assert all(any(begin <= local < begin + 3_000 for local in refused) for begin in range(12_000, END_MS, 3_000))
    reports = [local for local, item in tape.said if isinstance(item, Incident) and item.kind == "reject"]
    assert len([local for local in reports if local < END_MS]) >= (END_MS - BEGIN_MS) // 4_000
    assert not [item for item in tape.of(Incident) if item.kind == "gap"]
    assert before < 10 * (END_MS - BEGIN_MS) // 1_000
    assert tape.stored() == tape.true_trades()


@pytest.mark.parametrize("name", ["by 31337", "by 100000", "by 900000", "scattered", "by -40"])
def test_queries_that_fail_confirm_no_gap(name: str) -> None:
    tape = WrongTape()
    tape.play(BEGIN_MS)
    tape.failing = range(tape.queries + 1, tape.queries + 4)
    tape.play(END_MS, WRONG[name])
    tape.play(LAST_MS)
    witnesses = tape.of(TradeWitness)
    assert [item.is_ahead for item in witnesses[:1] + witnesses[-1:]] == [True, False]
    assert not [item for item in tape.of(Incident) if item.kind == "gap"]
    assert tape.stored() == tape.true_trades()


@pytest.mark.parametrize("name", ["by 40", "by 31337", "by 100000", "scattered", "by -5555"])
def test_trades_of_a_busy_instrument_are_fetched_while_its_stream_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrong_tape, "EVERY_MS", 20)
    tape = WrongTape()
    tape.play(BEGIN_MS)
    tape.play(END_MS, WRONG[name])
    batches = [(local, item) for local, item in tape.said if isinstance(item, TradeBatch) and not item.late]
    assert max(local - (item.begin - BEGIN) for local, item in batches) <= 6_000
    tape.play(LAST_MS)
    assert tape.stored() == tape.true_trades()


SOME_WRONG = [
    (fields, by, fills_follow)
    for fields in (("last_id",), ("first_id",), ("first_id", "last_id"), IDS)
    for by in (-1, 1, 3, 1_000)
    for fills_follow in (True, False)
    if fills_follow or by < 0 or "last_id" in fields[:1]  # else fills may be missing, and nothing contradicts them
]


@pytest.mark.parametrize("count", [1, 4, 20])
@pytest.mark.parametrize(("fields", "by", "fills_follow"), SOME_WRONG)
def test_wrong_ids_of_some_trades_make_no_gap(fields: tuple[str, ...], count: int, by: int, fills_follow: bool) -> None:
    tape = WrongTape(fills_follow=fills_follow)
    tape.play(BEGIN_MS)
    tape.play(BEGIN_MS + count * EVERY_MS, shifted(by, *fields))
    tape.play(BEGIN_MS + 10_000)
    kinds = {item.kind for item in tape.of(Incident)}
    assert "gap" not in kinds
    assert "mismatch" not in kinds
    assert not [gap for gap in tape.of(Gap) if gap.first_id > gap.last_id]
    if fills_follow and not (fields == IDS and by == -1):  # those continue the true trades, at either end
        assert tape.stored() == tape.true_trades()


def without_fills(one: AggregateTrade) -> AggregateTrade:
    """From the trade 104 on two fills more were made than the aggregates have."""
    return shifted(2, "first_id", "last_id")(one, 0) if one.id >= FIRST_ID + 104 else one


def test_fills_that_rest_lacks_too_are_a_gap_once_both_trades_are_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        wrong_tape, "true_trade", lambda number, true=wrong_tape.true_trade: without_fills(true(number))
    )
    tape = WrongTape(has_klines=False)
    tape.play(20_000)
    [gap] = [item for item in tape.of(Incident) if item.kind == "gap"]
    before = wrong_tape.true_trade(103)
    assert (gap.first_id, gap.last_id) == (before.last_id + 1, before.last_id + 2)
    assert gap.outcome == OUTCOME
    assert tape.stored() == tape.true_trades()
