from math import floor, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.model import Candle, Incident, Kline
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.findings import NOTES
from flows.verification.checks.reading import GetKlines, Klines
from flows.verification.checks.symbol import SymbolVerifier, Task
from sources.binance.rules import RULES
from sources.kraken.rules import RULES as KRAKEN
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, trade
from tests.fakes.verified import SYMBOL, TIMEFRAMES, VENUE, MemoryStores, Row, traded_stores, true_stores, verified

pytestmark = pytest.mark.slow

TRIED = settings(max_examples=examples(20))

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


def verifier_of(stores: MemoryStores, get_klines: GetKlines | None = None) -> SymbolVerifier:
    verifier = SymbolVerifier(stores, Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE]), get_klines=get_klines)
    list(verifier.findings())
    return verifier


@TRIED
@given(traded_stores(), st.integers(0, 4), st.data())
def test_what_a_venue_states_by_a_cut_average_is_no_false_claim_once_it_is_stored(
    stores: MemoryStores, decimals: int, data: st.DataObject
) -> None:
    stored = data.draw(st.sampled_from([s.candle for s in stores.stored if s.candle.trades]))
    average = floor(stored.quote_volume / stored.volume * 10**decimals) / 10**decimals
    unstated = {"taker_buy_volume": nan, "taker_buy_quote_volume": nan, "first_id": -1, "last_id": -1}
    refute(stores, stored.open_time, timeframe=stored.timeframe, quote_volume=average * stored.volume, **unstated)
    assert verified(stores, venue="kraken", rules=structs.replace(KRAKEN, fills_follow=False)) == []


@TRIED
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
    query = verifier.refuted[0].query
    assert query.first_id <= row["first_id"] <= row["last_id"] <= query.last_id
    assert (query.begin, query.end) == (theirs.open_time, theirs.close_time)
    assert verifier.recounted == {}, "nothing is to be rewritten from these trades"


@TRIED
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
    query = verifier_of(stores).refuted[0].query
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


# --- candles with a proof ---


def prove(stores: MemoryStores) -> MemoryStores:
    """Gives every candle the proof that the exchange said the same."""
    proven = [StoredCandle(structs.replace(one.candle, proof="equal"), one.close_time) for one in stores.stored]
    stores.stored = proven
    return stores


def klines_of(stores: MemoryStores) -> GetKlines:
    """The exchange's candles: those that are stored now."""
    told: dict[str, dict[int, Kline]] = {name: {} for name in TIMEFRAMES}
    for candle in [one.candle for one in stores.stored]:
        shared = [name for name in Kline.__struct_fields__ if name in Candle.__struct_fields__]
        fields = {name: getattr(candle, name) for name in shared}
        told[candle.timeframe][candle.open_time] = Kline(**fields | {"first_id": -1, "last_id": -1})

    def get(_: str, timeframe: str, start: int, end: int) -> Klines:
        found = {t: kline for t, kline in told[timeframe].items() if start <= t < end}
        return Klines(found, (start, end))

    return get


def change(stores: MemoryStores, candle: Candle, **values: Any) -> Candle:
    """Other values of a stored candle."""
    place = next(n for n, one in enumerate(stores.stored) if one.candle == candle)
    changed = structs.replace(candle, **values)
    stores.stored[place] = StoredCandle(changed, stores.stored[place].close_time)
    return changed


def minute_of(stores: MemoryStores, time: int) -> Candle:
    return next(
        one.candle for one in stores.stored
        if one.candle.timeframe == "1m" and one.candle.open_time <= time <= one.close_time
    )  # fmt: skip


@pytest.mark.parametrize("is_asked", [False, True])
@TRIED
@given(traded_stores(), st.data())
def test_a_false_trade_refutes_no_candle_that_the_exchange_has_confirmed(
    is_asked: bool, stores: MemoryStores, data: st.DataObject
) -> None:
    prove(stores)
    told = klines_of(stores) if is_asked else None
    row = data.draw(st.sampled_from(inner_rows(stores)))
    row["quantity"] += 0.5
    candle = minute_of(stores, row["time"])

    assert shape(stores, get_klines=told) == [("refuted", "1m", candle.open_time)]
    verifier = verifier_of(stores, told)
    [one] = verifier.refuted
    assert (one.truth, one.is_confirmed) == (candle, is_asked)
    assert verifier.recounted == {}


def test_the_exchanges_word_stands_for_a_candle_without_a_proof_too() -> None:
    stores = true_stores(QUIET)
    told = klines_of(stores)
    row = stores.rows[100]
    row["quantity"] += 0.5
    candle = minute_of(stores, row["time"])
    assert {kind for kind, *_ in shape(stores)} == {"candle"}
    assert shape(stores, get_klines=told) == [("refuted", "1m", candle.open_time)]
    assert verifier_of(stores, told).recounted == {}


def test_an_invented_trade_refutes_no_candle_and_only_near_ids_are_asked_for() -> None:
    stores = prove(true_stores(QUIET))
    candle = minute_of(stores, stores.rows[100]["time"])
    false = dict.fromkeys(("id", "first_id", "last_id"), 1_000_000)
    stores.rows.append({**stores.rows[100], **false})
    verifier = verifier_of(stores)
    assert shape(stores) == [("trade", "", stores.rows[100]["time"]), ("refuted", "1m", candle.open_time)]
    [one] = verifier.refuted
    assert (one.query.first_id, one.query.last_id) == (candle.first_id, candle.last_id)
    assert verifier.recounted == {}


def test_a_confirmed_candle_of_a_minute_whose_trades_have_left_it_is_not_false() -> None:
    stores = prove(true_stores(QUIET))
    open_time = BEGIN + 5 * MINUTE
    for row in stores.rows:
        if open_time <= row["time"] < open_time + MINUTE:
            row["time"] = open_time + MINUTE
    found = shape(stores)
    assert found == [("refuted", "1m", open_time), ("refuted", "1m", open_time + MINUTE)]


@pytest.mark.parametrize("standing", [{"proof": "equal"}, {"status": "venue", "proof": "exchange's own"}, {}])
def test_a_candle_that_the_exchange_denies_and_its_trades_make_otherwise_is_false(standing: dict[str, Any]) -> None:
    stores = true_stores(QUIET)
    told = klines_of(stores)
    true = minute_of(stores, stores.rows[100]["time"])
    change(stores, true, high=true.high + 1, **standing)
    place = "1m", true.open_time
    assert ("candle", *place) in shape(stores, get_klines=told)
    verifier = verifier_of(stores, told)
    assert verifier.refuted == []
    assert verifier.recounted == {place: structs.replace(true, status="repaired", proof="equal", event_time=0)}
    if standing:
        assert shape(stores)[0] == ("refuted", *place), "nobody says which of the two it is"
        assert verifier_of(stores).recounted == {}


def test_a_confirmed_candle_whose_numbers_cannot_be_true_together_is_false() -> None:
    stores = prove(true_stores(QUIET))
    true = minute_of(stores, stores.rows[100]["time"])
    change(stores, true, high=true.low - 1)
    assert ("candle", "1m", true.open_time) in shape(stores)
    assert ("1m", true.open_time) in verifier_of(stores).recounted


def test_what_neither_the_candle_nor_the_trades_say_is_fetched_and_nothing_is_rewritten() -> None:
    stores = true_stores(QUIET)
    told = klines_of(stores)
    true = minute_of(stores, stores.rows[100]["time"])
    change(stores, true, volume=true.volume + 1)
    stores.rows[100]["quantity"] += 0.5
    verifier = verifier_of(stores, told)
    [one] = verifier.refuted
    assert one.truth.volume == true.volume
    assert verifier.recounted == {}


@pytest.mark.parametrize("by", [-2 * MINUTE, -1_000, 0, 1_000, 2 * MINUTE])
@pytest.mark.parametrize("frame_minutes", [3, 1_000])
def test_a_trade_that_is_stored_twice_is_named_and_nothing_is_rewritten_from_it(by: int, frame_minutes: int) -> None:
    stores = true_stores(QUIET)
    stores.minutes_a_frame = frame_minutes
    row = stores.rows[150]
    stores.rows.append({**row, "time": row["time"] + by, "quantity": 9.0})
    found = [f for f in verified(stores) if f.kind == "trade"]
    assert found
    verifier = verifier_of(stores)
    assert verifier.recounted == {}
    if frame_minutes == 1_000 or by == 2 * MINUTE:
        assert {f.claimed for f in found} == {"trade 150"}
        [query] = verifier.copies
        assert query.first_id == query.last_id == row["first_id"]
        assert query.begin <= row["time"] + by <= query.end, "where the exchange has it, its answer says"


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
