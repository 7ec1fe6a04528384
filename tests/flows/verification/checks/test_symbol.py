from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.model import DAY_MS, Incident
from flows.verification.checks.claims import StoredCandle, impossible_numbers
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.symbol import SymbolVerifier, Task
from sources.binance.rules import RULES
from tests.fakes.candles import candle
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, trade
from tests.fakes.verified import SYMBOL, TIMEFRAMES, VENUE, MemoryStores, rows_of, traded_stores, true_candles, verified

pytestmark = pytest.mark.slow

TRIED = settings(max_examples=examples(20))

NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
COUNTS = ("trades", "first_id", "last_id")
SHIFTS = st.sampled_from((-1_000_000.0, -1.0, -0.01, 0.01, 1.0, 1_000_000.0))


def change(stores: MemoryStores, place: int, **values: Any) -> StoredCandle:
    """One candle with other values."""
    stored = stores.stored[place]
    changed = StoredCandle(structs.replace(stored.candle, **values), stored.close_time)
    stores.stored[place] = changed
    return changed


@TRIED
@given(traded_stores())
def test_stores_that_hold_what_they_claim_have_no_finding(stores: MemoryStores) -> None:
    assert verified(stores) == []


@TRIED
@given(traded_stores(), st.data())
def test_any_changed_number_of_any_candle_is_found(stores: MemoryStores, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(stores.stored) - 1))
    name = data.draw(st.sampled_from((*NUMBERS, *COUNTS, "revision")))
    before = getattr(stores.stored[place].candle, name)
    shift = data.draw(SHIFTS)
    value = before + shift
    if name == "revision":
        value = -1
    elif name in COUNTS:
        value = before + (int(shift) or 1)
    changed = change(stores, place, **{name: value})

    found = verified(stores)
    assert any(f.open_time == changed.candle.open_time and f.timeframe == changed.candle.timeframe for f in found)


@TRIED
@given(traded_stores(), st.data())
def test_any_missing_candle_between_others_is_found(stores: MemoryStores, data: st.DataObject) -> None:
    of_minutes = [s for s in stores.stored if s.candle.timeframe == "1m"]
    gone = data.draw(st.sampled_from(of_minutes[1:-1]))
    stores.stored.remove(gone)

    assert [(f.kind, f.open_time) for f in verified(stores)] == [("missing", gone.candle.open_time)]


@TRIED
@given(traded_stores(), st.data())
def test_any_missing_trade_is_found(stores: MemoryStores, data: st.DataObject) -> None:
    gone = stores.rows.pop(data.draw(st.integers(1, len(stores.rows) - 2)))

    assert "hole" in {f.kind for f in verified(stores) if f"ids {gone['id']} to {gone['id']} " in f.claimed}


@TRIED
@given(traded_stores(), st.data())
def test_any_changed_trade_is_found(stores: MemoryStores, data: st.DataObject) -> None:
    end = max(s.candle.close_time for s in stores.stored if s.candle.timeframe == "1m")
    inner = [row for row in stores.rows[1:-1] if row["time"] <= end]
    row = data.draw(st.sampled_from(inner))
    name, by = data.draw(
        st.sampled_from((("id", 1), ("id", 1_000), ("first_id", -1), ("last_id", 1), ("price", 1.0), ("quantity", 0.5)))
    )
    row[name] += by

    assert verified(stores)


@TRIED
@given(traded_stores(), st.data())
def test_a_trade_of_the_other_side_or_another_minute_is_found(stores: MemoryStores, data: st.DataObject) -> None:
    end = max(s.candle.close_time for s in stores.stored if s.candle.timeframe == "1m")
    row = data.draw(st.sampled_from([row for row in stores.rows[1:-1] if row["time"] <= end]))
    if data.draw(st.booleans()):
        row["buyer_is_maker"] = not row["buyer_is_maker"]
    else:
        row["time"] -= 60_000

    assert verified(stores)


@pytest.mark.parametrize(
    ("values", "claimed"),
    [
        ({"status": "partial", "proof": "equal"}, "proof 'equal'"),
        ({"status": "partial"}, "status 'partial'"),
        ({"status": "venue", "proof": "equal"}, "proof 'equal'"),
        ({"status": "venue", "proof": "ours wrong"}, "proof 'ours wrong'"),
        ({"status": "repaired"}, "status 'repaired'"),
        ({"status": "forming"}, "status 'forming'"),
        ({"status": "sure"}, "status 'sure'"),
        ({"proof": "theirs wrong"}, "proof 'theirs wrong'"),
        ({"proof": "ours wrong"}, "proof 'ours wrong'"),
        ({"proof": "not comparable"}, "proof 'not comparable'"),
        ({"proof": "sworn"}, "proof 'sworn'"),
        ({"is_closed": False}, "status 'final'"),
        ({"is_closed": False, "status": "forming"}, "is_closed False"),
        ({"revision": -1}, "revision -1"),
    ],
)
@TRIED
@given(stores=traded_stores(), data=st.data())
def test_a_standing_without_ground_is_found(
    values: dict[str, Any], claimed: str, stores: MemoryStores, data: st.DataObject
) -> None:
    begin = stores.rows[0]["time"]  # of the first period the beginning may have been deleted for its age
    places = [place for place, stored in enumerate(stores.stored) if stored.candle.open_time > begin]
    changed = change(stores, data.draw(st.sampled_from(places)), **values).candle

    found = verified(stores)

    assert claimed in {f.claimed for f in found if (f.timeframe, f.open_time) == (changed.timeframe, changed.open_time)}


@given(st.booleans(), st.sampled_from((-4, -1, 1, 4)), st.sampled_from(("first_id", "last_id")))
def test_ids_of_the_exchanges_version_span_its_fills_where_each_id_is_one(
    fills_follow: bool, by: int, name: str
) -> None:
    """Where fills have ids of their own too, they may span more, and never fewer."""
    exchanges = structs.replace(candle(), status="venue", proof="ours wrong")
    rules = structs.replace(RULES[VENUE], fills_follow=fills_follow)
    assert list(impossible_numbers(exchanges, rules)) == []
    shifted = structs.replace(exchanges, **{name: getattr(exchanges, name) + by})
    are_fewer = (by < 0) == (name == "last_id")
    assert [claimed for _, claimed, _ in impossible_numbers(shifted, rules)] == ["trades 42"] * (
        fills_follow or are_fewer
    )
    without = structs.replace(exchanges, first_id=-1, last_id=-1)
    assert list(impossible_numbers(without, rules)) == []


@TRIED
@given(traded_stores(), st.data())
def test_a_wrong_close_time_or_a_time_off_the_grid_is_found(stores: MemoryStores, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(stores.stored) - 1))
    stored = stores.stored[place]
    stores.stored[place] = StoredCandle(stored.candle, stored.close_time + 1)
    assert [f.claimed for f in verified(stores)] == [f"close_time {stored.close_time + 1}"]

    moved = structs.replace(stored.candle, open_time=stored.candle.open_time + 1)
    stores.stored[place] = StoredCandle(moved, stored.close_time + 1)
    assert f"open_time {moved.open_time}" in {f.claimed for f in verified(stores)}


@TRIED
@given(traded_stores(), st.data())
def test_a_hole_that_the_ledger_names_is_no_false_claim(stores: MemoryStores, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(stores.rows) - 2))
    before, gone, behind = stores.rows[place - 1 : place + 2]
    del stores.rows[place]
    touched = range(before["time"], behind["time"] + 1)
    stores.incidents.append(
        Incident("gap", VENUE, SYMBOL, before["time"], behind["time"], "lost", "", gone["id"], gone["id"])
    )
    for number, stored in enumerate(stores.stored):
        if stored.candle.open_time in touched or stored.candle.open_time <= before["time"] <= stored.close_time:
            change(stores, number, proof="equal")

    assert verified(stores) == []


@TRIED
@given(traded_stores(), st.data())
def test_a_final_candle_with_a_named_hole_needs_a_proof(stores: MemoryStores, data: st.DataObject) -> None:
    end = max(s.candle.close_time for s in stores.stored if s.candle.timeframe == "1m")
    inner = [place for place, row in enumerate(stores.rows[:-1]) if place and row["time"] <= end]
    place = data.draw(st.sampled_from(inner))
    before, gone, behind = stores.rows[place - 1 : place + 2]
    del stores.rows[place]
    stores.incidents.append(
        Incident("gap", VENUE, SYMBOL, before["time"], behind["time"], "lost", "", gone["id"], gone["id"])
    )

    found = [f for f in verified(stores) if f.timeframe == "1m"]

    assert "status 'final'" in {f.claimed for f in found}


@TRIED
@given(traded_stores())
def test_without_a_trade_store_candles_are_compared_with_each_other(stores: MemoryStores) -> None:
    stores.rows, stores.has_trades = [], False
    assert verified(stores) == []

    minute = next(n for n, s in enumerate(stores.stored) if s.candle.timeframe == "5m" and s.candle.trades)
    volume = stores.stored[minute].candle.volume
    change(stores, minute, volume=volume * 1.001 + 0.001, quote_volume=stores.stored[minute].candle.quote_volume)
    assert {f.kind for f in verified(stores)} & {"rollup", "candle"}


@TRIED
@given(traded_stores(), st.integers(0, 8))
def test_trades_that_were_deleted_for_their_age_are_no_hole(stores: MemoryStores, minutes: int) -> None:
    stores.rows = [row for row in stores.rows if row["time"] >= BEGIN + minutes * 60_000]

    assert verified(stores) == []


@TRIED
@given(traded_stores())
def test_candles_behind_the_last_stored_trade_are_found(stores: MemoryStores) -> None:
    stores.rows = [row for row in stores.rows if row["time"] < BEGIN + 120_000]
    last = [s.candle for s in stores.stored if s.candle.timeframe == "1m" and s.candle.trades][-1]
    if stores.rows and last.open_time >= BEGIN + 120_000:
        assert (last.open_time, "hole") in {(f.open_time, f.kind) for f in verified(stores)}


@TRIED
@given(traded_stores())
def test_what_is_young_is_left_out(stores: MemoryStores) -> None:
    place = max(range(len(stores.stored)), key=lambda n: stores.stored[n].close_time)
    change(stores, place, volume=1e12)

    assert verified(stores, settle_ms=900_000) == []


@TRIED
@given(traded_stores(), st.data())
def test_what_a_wrong_candle_should_be_is_known(stores: MemoryStores, data: st.DataObject) -> None:
    traded = [n for n, s in enumerate(stores.stored[1:], 1) if s.candle.trades and s.candle.open_time > BEGIN]
    if not traded:
        return
    place = data.draw(st.sampled_from(traded))
    true = stores.stored[place].candle
    change(stores, place, close=true.close + 1, high=true.high + 1)
    task = Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE])
    verifier = SymbolVerifier(stores, task)
    assert list(verifier.findings())

    known = verifier.recounted.get((true.timeframe, true.open_time))
    if known is not None:  # the first period may have begun before the first stored trade
        assert structs.replace(known, status="final") == true


def test_a_day_after_a_long_silence_begins_where_the_chain_ends() -> None:
    trades = [trade(1, 0), trade(2, 70_000, 101.0), trade(3, 86_400_000 * 3 + 65_000, 102.0)]
    candles = true_candles(trades, ("1m", "1h"))
    stores = MemoryStores(rows_of(trades), candles)
    assert verified(stores, timeframes=("1m", "1h")) == []

    flat = next(n for n, s in enumerate(stores.stored) if s.candle.open_time == BEGIN + 86_400_000 * 2)
    change(stores, flat, open=100.0, high=100.0, low=100.0, close=100.0)
    assert [f.claimed for f in verified(stores, timeframes=("1m", "1h"))] == ["close 100.0"]

    stores = MemoryStores(rows_of([trades[0], trades[1], trade(4, trades[2].time - BEGIN, 102.0)]), candles)
    found = verified(stores, timeframes=("1m", "1h"))
    assert [f.claimed for f in found if f.kind == "hole"] == [
        f"ids 3 to 3 between {BEGIN + 70_000} and {trades[2].time}"
    ]


@TRIED
@given(traded_stores(), st.data())
def test_days_between_a_false_trade_and_the_candles_are_passed_over(stores: MemoryStores, data: st.DataObject) -> None:
    """A trade of years before is found as before, and no day between is read."""
    first, days = stores.rows[0], data.draw(st.integers(400, 3_000))
    stores.rows.append({**first, "id": first["id"] - 5, "time": first["time"] - days * DAY_MS})
    ledgers: list[int] = []

    class Counted(MemoryStores):
        def ledger(self, symbol: str, start: int, end: int) -> Ledger:
            ledgers.append(start)
            return super().ledger(symbol, start, end)

    counted = Counted(stores.rows, [one.candle for one in stores.stored])
    [hole] = [one for one in verified(counted) if one.kind == "hole"]

    assert (hole.open_time, hole.claimed.split()[1:4]) == (
        first["time"],
        [str(first["id"] - 4), "to", str(first["id"] - 1)],
    )
    assert [start // DAY_MS for start in ledgers] == [first["time"] // DAY_MS - days, first["time"] // DAY_MS]
