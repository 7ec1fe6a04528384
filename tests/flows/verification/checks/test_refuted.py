from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.model import Candle, Incident
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.findings import NOTES
from flows.verification.checks.symbol import SymbolVerifier, Task
from sources.binance.rules import RULES
from tests.fakes.trades import BEGIN, trade
from tests.fakes.verified import SYMBOL, TIMEFRAMES, VENUE, MemoryStores, Row, traded_stores, true_stores, verified

pytestmark = pytest.mark.slow

MINUTE = 60_000
USDM = "binance-usdm"
QUIET = [trade(number, number * 7_000, 100 + number % 13 / 4, 0.25 + number % 7) for number in range(300)]
"""35 minutes of single fills."""


def refute(stores: MemoryStores, time: int, *, timeframe: str = "1m", **values: Any) -> Candle:
    """The exchange's candle of this time in the place of ours, as the flow leaves it, with its incident."""
    for place, stored in enumerate(stores.stored):
        candle = stored.candle
        if candle.timeframe == timeframe and candle.open_time <= time <= stored.close_time:
            theirs = structs.replace(candle, **{"status": "venue", "proof": "ours wrong", "revision": 1, **values})
            stores.stored[place] = StoredCandle(theirs, stored.close_time)
            span = candle.open_time, stored.close_time
            stores.incidents.append(Incident("mismatch", candle.venue, SYMBOL, *span, "", "ours wrong"))
            return theirs
    raise AssertionError(time)


def inner_rows(stores: MemoryStores) -> list[Row]:
    """Trades of closed minutes between the first and the last stored one."""
    first = stores.rows[0]["time"] // MINUTE * MINUTE + MINUTE
    end = max(s.candle.close_time for s in stores.stored if s.candle.timeframe == "1m")
    return [row for row in stores.rows if first <= row["time"] <= end]


def shape(stores: MemoryStores, **options: Any) -> list[tuple[str, str, int]]:
    return [(f.kind, f.timeframe, f.open_time) for f in verified(stores, **options)]


def verifier_of(stores: MemoryStores) -> SymbolVerifier:
    verifier = SymbolVerifier(stores, Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE]))
    list(verifier.findings())
    return verifier


@given(traded_stores(), st.data())
def test_stored_trades_that_do_not_make_the_exchanges_candle_are_a_false_claim_of_the_trade_store(
    stores: MemoryStores, data: st.DataObject
) -> None:
    row = data.draw(st.sampled_from(inner_rows(stores)))
    theirs = refute(stores, row["time"])
    assert verified(stores) == [], "these trades make it"

    row["quantity"] += 0.5

    assert shape(stores) == [("refuted", "1m", theirs.open_time)], "once, and not of the longer ones around it"
    verifier = verifier_of(stores)
    [query] = verifier.refuted
    assert query.first_id <= row["first_id"] <= row["last_id"] <= query.last_id
    assert (query.begin, query.end) == (theirs.open_time, theirs.close_time)
    assert verifier.recounted == {}, "nothing is to be rewritten from these trades"


@given(traded_stores(), st.data())
def test_a_loss_that_the_ledger_names_is_a_note(stores: MemoryStores, data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(inner_rows(stores)))
    theirs = refute(stores, row["time"])
    row["quantity"] += 0.5
    ids = theirs.first_id, theirs.last_id
    times = theirs.open_time, theirs.close_time
    stores.incidents.append(Incident("gap", VENUE, SYMBOL, *times, "", "not fetched", ids[0], ids[1] - 1))
    if ids[1] > ids[0]:
        assert shape(stores) == [("refuted", "1m", theirs.open_time)], "not all of it is named"
    stores.incidents.append(Incident("gap", VENUE, SYMBOL, *times, "", "not fetched", *ids))

    assert shape(stores) == [("loss", "1m", theirs.open_time)]
    assert len(verifier_of(stores).refuted) == 1, "a repair fetches it all the same"


def test_a_trade_that_is_carried_into_another_minute_refutes_both() -> None:
    stores = true_stores(QUIET)
    row = next(row for row in stores.rows if row["time"] > BEGIN + 5 * MINUTE - 3_000)
    before, behind = refute(stores, row["time"] - MINUTE // 2), refute(stores, row["time"])
    row["time"] -= 4_000
    kinds = shape(stores)
    assert kinds == [("refuted", "1m", before.open_time), ("refuted", "1m", behind.open_time)]
    [first, second] = [finding.true for finding in verified(stores)]
    assert first.startswith("trades wrong, 1 too many: ")
    assert second.startswith("trades incomplete, 1 too few: ")


def test_a_candle_without_ids_is_as_good_a_witness() -> None:
    stores = true_stores(QUIET)
    row = stores.rows[100]
    theirs = refute(stores, row["time"], first_id=-1, last_id=-1)
    assert verified(stores) == []
    row["price"] += 1.0
    assert shape(stores) == [("refuted", "1m", theirs.open_time)]
    [query] = verifier_of(stores).refuted
    assert query.first_id <= row["id"] <= query.last_id


def test_a_minute_of_which_no_trade_is_stored_is_named() -> None:
    """Its trades are in the next one, by a wrong time of all of them."""
    stores = true_stores(QUIET)
    open_time = BEGIN + 5 * MINUTE
    theirs = refute(stores, open_time)
    refute(stores, open_time + MINUTE)
    for row in stores.rows:
        if open_time <= row["time"] < open_time + MINUTE:
            row["time"] = open_time + MINUTE
    found = {f.open_time: f for f in verified(stores) if f.kind == "refuted"}
    assert list(found) == [open_time, open_time + MINUTE]
    assert found[open_time].claimed == "stored trades: none"
    assert found[open_time].true.startswith(f"trades incomplete, {theirs.trades} too few")


def test_a_longer_candle_is_a_witness_where_the_shorter_ones_are_none() -> None:
    stores = true_stores(QUIET)
    row = stores.rows[100]
    theirs = refute(stores, row["time"], timeframe="5m")
    row["quantity"] += 0.5
    minute = row["time"] // MINUTE * MINUTE
    assert ("refuted", "5m", theirs.open_time) in shape(stores)
    assert ("candle", "1m", minute) in shape(stores)


def test_a_wrong_longer_candle_is_not_rewritten_from_wrong_trades() -> None:
    stores = true_stores(QUIET)
    row = stores.rows[100]
    refute(stores, row["time"])
    row["quantity"] += 0.5
    place = next(
        n for n, s in enumerate(stores.stored) if s.candle.timeframe == "5m" and s.candle.open_time <= row["time"]
        <= s.close_time
    )  # fmt: skip
    five = stores.stored[place]
    stores.stored[place] = StoredCandle(structs.replace(five.candle, volume=1e9, quote_volume=1e11), five.close_time)
    verifier = SymbolVerifier(stores, Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE]))
    kinds = {(f.kind, f.timeframe) for f in verifier.findings()}
    assert {("refuted", "1m"), ("rollup", "5m")} <= kinds
    assert verifier.recounted == {}
    del stores.stored[place]
    verifier = SymbolVerifier(stores, Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE]))
    assert ("missing", "5m") in {(f.kind, f.timeframe) for f in verifier.findings()}
    assert verifier.recounted == {}


# --- gaps ---


@pytest.mark.parametrize("is_named", [True, False])
def test_missing_trades_of_the_exchanges_candle_are_a_note_where_the_ledger_names_the_gap(is_named: bool) -> None:
    stores = true_stores(QUIET)
    gone, around = stores.rows[100:103], stores.rows[99:104]
    minutes = {row["time"] // MINUTE * MINUTE for row in around}
    del stores.rows[100:103]
    for minute in minutes:
        refute(stores, minute, proof="")
    for timeframe in ("5m", "15m"):
        refute(stores, gone[0]["time"], timeframe=timeframe, proof="")
    before, behind = QUIET[99].time, QUIET[103].time
    if is_named:
        stores.incidents.append(Incident("gap", VENUE, SYMBOL, before, behind, "lost", "", 100, 102))
    found = verified(stores)
    if not is_named:
        assert [f.kind for f in found] == ["hole"]
        return
    assert [(f.kind, f.timeframe, f.open_time) for f in found] == [("loss", "1m", minute) for minute in sorted(minutes)]
    assert all(f.true.startswith("trades incomplete: 3 ids missing") for f in found)
    assert {f.kind for f in found} <= set(NOTES)


def test_what_is_stored_around_a_gap_and_is_more_than_the_exchanges_candle_is_wrong() -> None:
    stores = true_stores(QUIET)
    del stores.rows[100]
    theirs = refute(stores, QUIET[101].time, proof="")
    stores.incidents.append(Incident("gap", VENUE, SYMBOL, QUIET[99].time, QUIET[101].time, "lost", "", 100, 100))
    stores.rows[100]["price"] += 900.0
    assert ("refuted", "1m", theirs.open_time) in shape(stores)


# --- USD-M ---


def usdm_stores() -> MemoryStores:
    """With the proof that candles have there where only sums differ."""
    stores = true_stores(QUIET)
    stores.stored = [
        StoredCandle(structs.replace(one.candle, venue=USDM, proof="not comparable"), one.close_time)
        for one in stores.stored
    ]
    return stores


def of_usdm(stores: MemoryStores) -> list[tuple[str, str, int]]:
    return shape(stores, venue=USDM, rules=RULES[USDM])


def test_at_usdm_prices_prove_and_sums_do_not() -> None:
    stores = usdm_stores()
    row = stores.rows[100]
    theirs = refute(stores, row["time"])
    row["quantity"] += 0.5
    assert of_usdm(stores) == [], "klines and trades count differently there"
    row["price"] += 50.0
    assert of_usdm(stores) == [("refuted", "1m", theirs.open_time)]


def test_fills_of_usdm_that_are_none_of_the_market_prove_nothing() -> None:
    """Far off the market, they have ids of the chain and are in no candle."""
    stores = usdm_stores()
    row = stores.rows[100]
    theirs = refute(stores, row["time"])
    row.update(fill="INSURANCE_FUND", price=9_000.0)
    lacking = {name: getattr(theirs, name) for name in ("open", "high", "low", "close")}
    rest = [r["price"] for r in stores.rows if theirs.open_time <= r["time"] <= theirs.close_time and r is not row]
    lacking |= {"open": rest[0], "high": max(rest), "low": min(rest), "close": rest[-1]}
    stores.stored = [
        StoredCandle(structs.replace(one.candle, **lacking), one.close_time)
        if one.candle.open_time == theirs.open_time and one.candle.timeframe == "1m" else one
        for one in stores.stored
    ]  # fmt: skip
    found = [one for one in of_usdm(stores) if one[1:] == ("1m", theirs.open_time)]
    assert found == []


def test_a_usdm_minute_of_which_no_trade_is_stored_is_refuted_by_prices_alone() -> None:
    stores = usdm_stores()
    open_time = BEGIN + 5 * MINUTE
    for row in stores.rows:
        if open_time <= row["time"] < open_time + MINUTE:
            row["time"] = open_time - 1
            close = row["price"]
    for minute in (open_time, open_time - MINUTE):
        refute(stores, minute)
    assert ("refuted", "1m", open_time) in of_usdm(stores)
    flat = dict.fromkeys(("open", "high", "low", "close"), close)
    stores.stored = [
        StoredCandle(structs.replace(one.candle, **flat), one.close_time)
        if one.candle.open_time == open_time and one.candle.timeframe == "1m" else one
        for one in stores.stored
    ]  # fmt: skip
    assert ("refuted", "1m", open_time) not in of_usdm(stores)
