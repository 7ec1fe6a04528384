"""A record that cannot be read gives way to the exchange's trades, and nothing that can be had is lost with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.bounds import LATEST_MS, VenueRules
from flows.model import Trade, TradeBatch
from flows.queries import TradesQuery
from flows.verification.checks.unreadable import UnreadableRecord
from flows.verification.records import AHEAD, RecordRepair
from flows.verification.refill import GetTrades, Refilled, TradeRefill
from sinks.trades.codec import END_MS, MINUTE_MS, SECOND_MS, encode_key
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeView
from sinks.trades.record_checks import BadRecord
from sinks.trades.store import TradeStore
from sources.rest.client import VenueError
from tests.fakes.bad_records import CHANGES, changed, delete, put
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, trade

SYMBOL = "BTCUSDT"
STORED = [trade(number, number * 4_000, 100 + number / 4, 1 + number / 8) for number in range(30, 130)]
VENUE = [trade(number, number * 4_000, 100 + number / 4, 1 + number / 8) for number in range(140)]
"""What the exchange has: more, before and behind."""
PLACES = {"first": STORED[0].time, "second": STORED[1].time, "middle": STORED[50].time, "last": STORED[-1].time}
OF_EACH_KIND = ("value cut", "price NaN", "times of another day", "key of another time", "key cut")
CASES = [*((name, "middle") for name in CHANGES), *((name, place) for name in OF_EACH_KIND for place in PLACES)]


def ask(query: TradesQuery) -> list[Trade]:
    return [one for one in VENUE if query.first_id <= one.id <= query.last_id]


def repair_of(path: Path, get: GetTrades | None, *, latest: int = LATEST_MS, **changes: Any) -> RecordRepair:
    known: dict[str, Any] = {"venue": "binance", "partitions": 1, "rules": VenueRules(), "most_trades": 1_000}
    known["note"] = changes.pop("note", lambda _: None)
    refill = TradeRefill(path, get=get, **{**known, **changes})
    return RecordRepair(refill, venue="binance", latest=latest)


def store_at(path: Path, record_ms: int, trades: list[Trade] = STORED) -> None:
    with TradeStore(path / "part-00") as store:
        add_batches(store, [TradeBatch("binance", SYMBOL, trades)], record_ms=record_ms)


def spoil(path: Path, time: int, record_ms: int, change: Callable[[tuple[bytes, bytes]], tuple[bytes, bytes]]) -> bytes:
    """Changes the record of a time; returns the new key."""
    before = encode_key(SYMBOL, time // record_ms * record_ms)
    with TradeStore(path / "part-00") as store:
        value = store.value(before)
        assert value is not None
        key, new = change((before, value))
        delete(store, before)
        put(store, key, new)
    return key


def stored(path: Path) -> tuple[list[tuple[Any, ...]], list[BadRecord]]:
    """The trades that can be read, and what cannot."""
    with TradeStore(path / "part-00") as store:
        bad: list[BadRecord] = []
        frame = TradeView([store]).trades(SYMBOL, 0, END_MS, on_bad=bad.append)
        found = frame.select("id", "time", "price", "quantity").rows()
        return found, [*bad, *store.strays()]


def rows(trades: list[Trade]) -> list[tuple[Any, ...]]:
    return [(one.id, one.time, one.price, one.quantity) for one in trades]


def unreadable(path: Path) -> list[UnreadableRecord]:
    found = stored(path)[1]
    return [UnreadableRecord(one.path, one.key, one.name, one.start, one.end, one.reason) for one in found]


@pytest.mark.parametrize(("name", "place"), CASES)
@pytest.mark.parametrize("record_ms", [SECOND_MS, MINUTE_MS])
def test_its_trades_are_fetched_and_it_is_gone(tmp_path: Path, name: str, place: str, record_ms: int) -> None:
    store_at(tmp_path, record_ms)
    key = spoil(tmp_path, PLACES[place], record_ms, CHANGES[name])
    [record] = unreadable(tmp_path)
    assert record.key == key

    done = repair_of(tmp_path, ask).repair(SYMBOL, [record], Refilled())

    found, bad = stored(tmp_path)
    assert bad == []
    assert (done.removed, done.left) == (1, "")
    expected = {*rows(STORED)}
    assert expected <= {*found}
    assert {*found} <= {*rows(VENUE)}  # more of them may be fetched at an end
    assert done.trades == len({one.id for one in VENUE} & {row[0] for row in found}) - (
        len(STORED) - sum(one.time // record_ms == PLACES[place] // record_ms for one in STORED)
    )
    assert {incident.kind for incident in done.incidents} == {"repair"}
    assert all(record.name in incident.cause for incident in done.incidents)


@pytest.mark.parametrize("name", ["value cut", "price NaN", "times of another day"])
@pytest.mark.parametrize("record_ms", [SECOND_MS, MINUTE_MS])
def test_at_the_end_the_venue_may_have_no_more(tmp_path: Path, name: str, record_ms: int) -> None:
    store_at(tmp_path, record_ms)
    spoil(tmp_path, PLACES["last"], record_ms, CHANGES[name])
    latest = [one for one in VENUE if one.id <= STORED[-1].id]

    def get(query: TradesQuery) -> list[Trade]:
        return [one for one in latest if query.first_id <= one.id <= query.last_id]

    done = repair_of(tmp_path, get).repair(SYMBOL, unreadable(tmp_path), Refilled())

    assert (stored(tmp_path), done.removed, done.left) == ((rows(STORED), []), 1, "")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("record_ms", [SECOND_MS, MINUTE_MS])
def test_a_venue_that_has_none_of_its_trades_removes_nothing(tmp_path: Path, place: str, record_ms: int) -> None:
    store_at(tmp_path, record_ms)
    key = spoil(tmp_path, PLACES[place], record_ms, CHANGES["value cut"])

    done = repair_of(tmp_path, lambda _: []).repair(SYMBOL, unreadable(tmp_path), Refilled())

    assert [one.key for one in stored(tmp_path)[1]] == [key]
    assert (done.removed, done.trades, done.incidents) == (0, 0, ())
    assert done.left.startswith(f"record {key.decode()} of BTCUSDT cannot be read: ")


def test_without_a_venue_it_is_left_with_what_to_do_unless_nothing_is_lost_with_it(tmp_path: Path) -> None:
    store_at(tmp_path, SECOND_MS)
    key = spoil(tmp_path, PLACES["middle"], SECOND_MS, CHANGES["price NaN"])

    done = repair_of(tmp_path, None).repair(SYMBOL, unreadable(tmp_path), Refilled())

    assert done.removed == 0
    command = "python -m flows.verify --repair --against rest --symbols BTCUSDT"
    assert done.left == f"record {key.decode()} of BTCUSDT cannot be read: {command} fetches them"

    with TradeStore(tmp_path / "part-00") as store:  # as an import does
        add_batches(store, [TradeBatch("binance", SYMBOL, STORED[40:60])], record_ms=MINUTE_MS)
    assert [one.key for one in unreadable(tmp_path)] == [key]
    done = repair_of(tmp_path, None).repair(SYMBOL, unreadable(tmp_path), Refilled())
    assert (stored(tmp_path), done.removed, done.left) == ((rows(STORED), []), 1, "")


def test_beside_a_flow_nothing_is_asked_or_removed(tmp_path: Path) -> None:
    def get(query: TradesQuery) -> list[Trade]:
        raise AssertionError(query)

    store_at(tmp_path, SECOND_MS)
    key = spoil(tmp_path, PLACES["middle"], SECOND_MS, CHANGES["price NaN"])
    records = unreadable(tmp_path)
    with TradeStore(tmp_path / "part-00") as flow, flow.lock:
        done = repair_of(tmp_path, get).repair(SYMBOL, records, Refilled())
    what = f"a flow writes to {tmp_path / 'part-00'}: stop it, run this again, and start it"
    assert (done.removed, done.left) == (0, f"record {key.decode()} of BTCUSDT cannot be read: {what}")


def test_a_venue_that_does_not_answer_ends_it_and_nothing_is_removed(tmp_path: Path) -> None:
    def get(_: TradesQuery) -> list[Trade]:
        raise VenueError("no answer")

    store_at(tmp_path, SECOND_MS)
    key = spoil(tmp_path, PLACES["middle"], SECOND_MS, CHANGES["price NaN"])
    with pytest.raises(VenueError):
        repair_of(tmp_path, get).repair(SYMBOL, unreadable(tmp_path), Refilled())
    assert [one.key for one in stored(tmp_path)[1]] == [key]


def test_what_takes_more_than_is_fetched_is_left_to_an_import(tmp_path: Path) -> None:
    store_at(tmp_path, MINUTE_MS)
    key = spoil(tmp_path, PLACES["middle"], MINUTE_MS, CHANGES["value cut"])

    done = repair_of(tmp_path, ask, most_trades=5).repair(SYMBOL, unreadable(tmp_path), Refilled())

    assert [one.key for one in stored(tmp_path)[1]] == [key]
    assert "feed.repair_trades is 5: import the time from " in done.left


@pytest.mark.parametrize("name", ["price NaN", "value cut"])
def test_several_beside_each_other(tmp_path: Path, name: str) -> None:
    store_at(tmp_path, SECOND_MS)
    for number in (50, 51, 52, 70, 99):
        spoil(tmp_path, STORED[number].time, SECOND_MS, CHANGES[name])

    done = repair_of(tmp_path, ask).repair(SYMBOL, unreadable(tmp_path), Refilled())

    assert (stored(tmp_path), done.removed, done.left) == ((rows(STORED), []), 5, "")


def test_a_symbol_of_which_nothing_can_be_read_is_fetched_by_the_ids_that_are_named(tmp_path: Path) -> None:
    store_at(tmp_path, MINUTE_MS)
    with TradeStore(tmp_path / "part-00") as store:
        starts = list(store.starts(SYMBOL, 0, END_MS))
    for start in starts:
        spoil(tmp_path, start, MINUTE_MS, CHANGES["price NaN"])

    done = repair_of(tmp_path, ask).repair(SYMBOL, unreadable(tmp_path), Refilled())

    found, bad = stored(tmp_path)
    assert (bad, done.left, done.removed) == ([], "", len(starts))
    assert {*rows(STORED)} <= {*found} <= {*rows(VENUE)}


def test_false_answers_are_not_stored(tmp_path: Path) -> None:
    store_at(tmp_path, SECOND_MS)
    key = spoil(tmp_path, PLACES["middle"], SECOND_MS, CHANGES["value cut"])
    number = STORED[50].id
    false = [
        structs.replace(VENUE[number], price=0.0),
        structs.replace(VENUE[number], symbol="ETHUSDT"),
        structs.replace(VENUE[number], time=VENUE[number].time + 3_600_000),
    ]

    done = repair_of(tmp_path, lambda _: false).repair(SYMBOL, unreadable(tmp_path), Refilled())

    assert [one.key for one in stored(tmp_path)[1]] == [key]
    assert done.removed == done.trades == 0


def test_what_is_of_no_symbol_is_removed(tmp_path: Path) -> None:
    store_at(tmp_path, SECOND_MS)
    with TradeStore(tmp_path / "part-00") as store:
        for key in (b"", b"else", b"trades:", b"trades:btcusdt:1767225600000", b"trades;"):
            put(store, key, b"anything")

    done = repair_of(tmp_path, None).repair("", unreadable(tmp_path), Refilled())

    assert (stored(tmp_path), done.removed, done.left) == ((rows(STORED), []), 5, "")
    assert [incident.symbol for incident in done.incidents] == [""] * 5


def test_a_record_ahead_of_the_clock_that_tells_nothing_is_left(tmp_path: Path) -> None:
    store_at(tmp_path, SECOND_MS)
    with TradeStore(tmp_path / "part-00") as store:
        put(store, encode_key(SYMBOL, BEGIN + 10**11), b"anything")
    repair = repair_of(tmp_path, lambda _: [], latest=BEGIN + 10**9)
    done = repair.repair(SYMBOL, unreadable(tmp_path), Refilled())
    assert (done.removed, done.left.endswith(AHEAD)) == (0, True)


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_it_is_all_trades_are_there_afterwards(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("any")
    record_ms = data.draw(st.sampled_from((SECOND_MS, MINUTE_MS)))
    store_at(path, record_ms)
    time = data.draw(st.sampled_from(STORED)).time
    is_key = data.draw(st.booleans())

    def change(record: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        key, value = record
        return (data.draw(changed(key)), value) if is_key else (key, data.draw(changed(value)))

    spoil(path, time, record_ms, change)
    records = unreadable(path)
    of_symbol = [one for one in records if one.key.startswith(b"trades:BTCUSDT:")]
    strays = [one for one in records if one not in of_symbol]
    repair = repair_of(path, ask)
    for symbol, some in ((SYMBOL, of_symbol), ("", strays)):
        repair.repair(symbol, some, Refilled())

    found, bad = stored(path)
    assert bad == []
    if of_symbol:
        assert {*rows(STORED)} <= {*found}
