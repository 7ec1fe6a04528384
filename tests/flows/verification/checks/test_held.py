"""What the stores cannot be without: trades since the first one seen, candles of every closed period with trades."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.model import DAY_MS, Incident, timeframe_ms
from flows.verification.checks.findings import Finding
from flows.verification.checks.held import FirstSeen, Held, held_by
from flows.verification.checks.symbol import SymbolVerifier, Task
from sources.binance.rules import RULES
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, trade
from tests.fakes.verified import SYMBOL, TIMEFRAMES, VENUE, MemoryStores, traded_stores, true_stores, verified

pytestmark = pytest.mark.slow

TRIED = settings(max_examples=examples(20))

REQUIRED = dict.fromkeys(TIMEFRAMES)
FIRST, NEWEST = BEGIN, BEGIN + 10 * DAY_MS


def begun(stores: MemoryStores) -> MemoryStores:
    """Stores that know with which trade they begin."""
    stores.first = FirstSeen(stores.rows[0]["id"], stores.rows[0]["time"])
    return stores


def found_in(stores: MemoryStores, **options: Any) -> list[Finding]:
    return verified(stores, required=REQUIRED, **options)


def of_traded(stores: MemoryStores, since: int) -> list[tuple[str, int]]:
    """The candles with trades that open at this time or later."""
    candles = [stored.candle for stored in stores.stored]
    return [(c.timeframe, c.open_time) for c in candles if c.trades and c.open_time >= since]


@TRIED
@given(traded_stores())
def test_whole_stores_hold_all_that_is_required(stores: MemoryStores) -> None:
    assert found_in(begun(stores)) == []


# --- trades ---


@TRIED
@given(traded_stores(), st.data())
def test_first_trades_that_are_gone_are_a_hole(stores: MemoryStores, data: st.DataObject) -> None:
    begun(stores)
    gone = data.draw(st.integers(1, len(stores.rows) - 1))
    first, left = stores.rows[0], stores.rows[gone]
    stores.rows = stores.rows[gone:]

    found = [f for f in found_in(stores) if f.timeframe == "" and f.kind == "hole"]

    claimed = f"ids {first['id']} to {left['id'] - 1} between {first['time']} and {left['time']}"
    assert [(f.open_time, f.claimed) for f in found] == [(left["time"], claimed)]


@TRIED
@given(traded_stores(), st.data())
def test_a_named_hole_before_the_first_trades_is_no_false_claim(stores: MemoryStores, data: st.DataObject) -> None:
    begun(stores)
    gone = data.draw(st.integers(1, len(stores.rows) - 1))
    first, left = stores.rows[0], stores.rows[gone]
    stores.rows = stores.rows[gone:]
    times = first["time"], left["time"]
    stores.incidents.append(Incident("gap", VENUE, SYMBOL, *times, "killed", "", first["id"], left["id"] - 1))
    stores.stored = [one for one in stores.stored if one.candle.open_time > left["time"]]

    assert verified(stores) == []


@TRIED
@given(traded_stores(), st.booleans())
def test_every_final_candle_is_named_where_no_trade_is_stored(stores: MemoryStores, knows_first: bool) -> None:
    if knows_first:
        begun(stores)
    begin = stores.rows[0]["time"] if knows_first else 0
    expected = of_traded(stores, begin)
    first = stores.rows[0]["id"]
    stores.rows = []

    found = found_in(stores)

    assert [(f.timeframe, f.open_time) for f in found if f.timeframe] == expected
    assert {f.kind for f in found} <= {"hole"}
    assert [f.claimed for f in found if not f.timeframe] == [f"trade {first}, the first one seen"] * knows_first


@TRIED
@given(traded_stores())
def test_false_candles_without_any_trade_are_all_named(stores: MemoryStores) -> None:
    begun(stores)
    expected = set(of_traded(stores, stores.rows[0]["time"]))
    stores.rows = []
    for place, one in enumerate(stores.stored):
        values = {name: getattr(one.candle, name) * 2 for name in ("open", "high", "low", "close", "quote_volume")}
        stores.stored[place] = structs.replace(one, candle=structs.replace(one.candle, **values))

    assert expected <= {(f.timeframe, f.open_time) for f in found_in(stores)}


@TRIED
@given(traded_stores())
def test_a_deployment_without_a_trade_store_claims_none(stores: MemoryStores) -> None:
    stores.rows, stores.has_trades = [], False

    assert found_in(stores) == []


@TRIED
@given(traded_stores(), st.integers(1, 8))
def test_candles_before_the_first_trade_seen_need_no_trades(stores: MemoryStores, minutes: int) -> None:
    """An import without trades, or a trade store that was enabled later."""
    stores.rows = [row for row in stores.rows if row["time"] >= BEGIN + minutes * 60_000]

    assert verified(begun(stores)) == []


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 9))
def test_only_retention_excuses_trades_that_lack(days: int, deleted: int, gone: int) -> None:
    """What retention has deleted, or may have, is not claimed; all else is."""
    first = FirstSeen(1, FIRST, FIRST + deleted * DAY_MS if deleted else 0)
    excused = max(NEWEST - days * DAY_MS if days else 0, first.deleted_until)
    stored = FIRST + gone * DAY_MS

    held = held_by(first, (stored, NEWEST), NEWEST, retention_days=days)

    assert held.since == min(max(FIRST, excused), stored)
    assert held.first == (first if excused <= FIRST <= stored and not stored < max(FIRST, excused) else None)


def test_without_a_first_trade_nothing_before_the_stored_ones_is_claimed() -> None:
    assert held_by(None, (FIRST, NEWEST), NEWEST, retention_days=0) == Held(FIRST)
    assert held_by(None, None, NEWEST, retention_days=0) == Held(0)


def test_trades_of_an_import_before_the_first_one_seen_are_held() -> None:
    first = FirstSeen(100, FIRST)
    assert held_by(first, (FIRST - DAY_MS, NEWEST), NEWEST, retention_days=0) == Held(FIRST - DAY_MS)


@TRIED
@given(traded_stores())
def test_trades_of_no_candle_are_fetched_by_the_ids_of_the_shortest_ones(stores: MemoryStores) -> None:
    stores.rows = []
    verifier = SymbolVerifier(stores, Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE]))
    list(verifier.findings())

    minutes = [s.candle for s in stores.stored if s.candle.timeframe == "1m" and s.candle.trades]
    wanted = [(one.first_id, one.last_id, one.begin, one.end) for one in verifier.unheld]
    assert set(wanted) >= {(c.first_id, c.last_id, c.open_time, c.close_time) for c in minutes}
    assert all(any(b <= c.open_time <= e for _, _, b, e in wanted) for c in minutes)


# --- candles ---


@TRIED
@given(traded_stores(), st.data())
def test_last_candles_that_are_gone_are_missing(stores: MemoryStores, data: st.DataObject) -> None:
    timeframe = data.draw(st.sampled_from(("1m", "5m")))
    of = [one for one in stores.stored if one.candle.timeframe == timeframe]
    gone = of[data.draw(st.integers(1, len(of) - 1)) :]
    stores.stored = [one for one in stores.stored if one not in gone]

    found = [(f.kind, f.timeframe, f.open_time) for f in found_in(stores)]

    assert found == [("missing", timeframe, gone[0].candle.open_time)]


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
@TRIED
@given(stores=traded_stores(), made=st.booleans())
def test_a_timeframe_without_candles_is_false_where_others_have_it_and_else_a_note(
    timeframe: str, made: bool, stores: MemoryStores
) -> None:
    gone = [one.candle for one in stores.stored if one.candle.timeframe == timeframe]
    stores.stored = [one for one in stores.stored if one.candle.timeframe != timeframe]
    begin = stores.rows[0]["time"]
    lacking = [candle.open_time for candle in gone if candle.open_time > begin]
    if made:
        stores.elsewhere = [(timeframe, open_time) for open_time in lacking]

    found = [(f.kind, f.timeframe, f.open_time) for f in found_in(stores)]

    kind = "missing" if made else "added"
    traded = {row["time"] // timeframe_ms(timeframe) * timeframe_ms(timeframe) for row in stores.rows}
    expected = [(kind, timeframe, lacking[0])] if traded & set(lacking) else []
    assert found == expected


@TRIED
@given(traded_stores())
def test_trades_without_any_candle_are_false(stores: MemoryStores) -> None:
    stores.stored = []
    expected = [] if len({row["time"] // 60_000 for row in stores.rows}) < 2 else ["1m"]

    found = found_in(stores)

    assert {f.kind for f in found} <= {"missing"}
    assert {f.timeframe for f in found} >= set(expected)


@TRIED
@given(traded_stores())
def test_candles_that_have_expired_are_not_required(stores: MemoryStores) -> None:
    """By the settings, or by those under which the first stored one was stored."""
    stores.stored = [one for one in stores.stored if one.candle.timeframe != "1m"]
    stores.elsewhere = [("1m", time) for time in range(BEGIN // 60_000 * 60_000, BEGIN + 10**7, 60_000)]
    day = {**REQUIRED, "1m": DAY_MS}
    assert verified(stores, required=day, now=BEGIN + 3 * DAY_MS) == []

    stores.kept = {"1m": DAY_MS}
    assert found_in(stores, now=BEGIN + 3 * DAY_MS) == []
    assert {f.kind for f in found_in(stores, now=BEGIN + 3_600_000)} == {"missing"}


@TRIED
@given(traded_stores(), st.integers(1, 600_000))
def test_running_periods_and_young_ones_are_not_required(stores: MemoryStores, settle_ms: int) -> None:
    until = max(row["time"] for row in stores.rows) + 1 - settle_ms
    stores.stored = [s for s in stores.stored if s.close_time < until]

    assert found_in(stores, settle_ms=settle_ms) == []


@TRIED
@given(traded_stores())
def test_candles_of_a_timeframe_that_is_no_longer_made_are_not_required(stores: MemoryStores) -> None:
    stores.stored = [s for s in stores.stored if s.candle.timeframe != "1m" or s.candle.open_time < BEGIN + 300_000]

    assert verified(stores, required=dict.fromkeys(("5m", "15m"))) == []


def test_missing_candles_are_made_of_the_stored_trades_also_those_without_any() -> None:
    stores = true_stores([trade(1, 0), trade(2, 70_000, 101.0), trade(3, 310_000, 102.0), trade(4, 500_000)])
    gone = {one.candle.open_time: one.candle for one in stores.stored if one.candle.open_time > BEGIN}
    gone = {time: one for time, one in gone.items() if one.timeframe == "1m"}
    stores.stored = [one for one in stores.stored if one.candle.open_time not in gone]
    verifier = SymbolVerifier(stores, Task(VENUE, SYMBOL, TIMEFRAMES, RULES[VENUE], required=REQUIRED))

    assert {f.kind for f in verifier.findings()} == {"missing"}
    minutes = {time: one for (name, time), one in verifier.recounted.items() if name == "1m"}
    assert {time: structs.replace(one, status="final") for time, one in minutes.items()} == gone
