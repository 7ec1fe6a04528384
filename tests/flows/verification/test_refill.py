from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.bounds import VenueRules
from flows.model import Candle, Incident, Trade, TradeBatch
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.disputed_trades import LEFT
from flows.queries import DisputedTradesQuery, PastTradesQuery, QueryError, TradesQuery
from flows.verification.checks.recount import candle_of
from flows.verification.checks.refuted import Refutation
from flows.verification.checks.trade_ids import IdGap, Misplaced, TradeIds
from flows.verification.refill import PAGE_TRADES, GetTrades, TradeRefill, near_each_other
from sinks.mongo.documents import incident_id
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStore
from sources.rest.client import VenueError
from tests.fakes.trades import BEGIN, trade

SYMBOL = "BTCUSDT"
ALL = [trade(number, number * 1_000, 100 + number / 4, 1 + number / 8) for number in range(40)]
HOLES = [
    IdGap(5, 6, ALL[4].time, ALL[7].time),
    IdGap(20, 29, ALL[19].time, ALL[30].time),
]
LACKING = {number for gap in HOLES for number in range(gap.first, gap.last + 1)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two holes."""
    with TradeStore(tmp_path / "part-00") as store, store.lock:
        add_batches(store, [TradeBatch("binance", SYMBOL, [one for one in ALL if one.id not in LACKING])])
    return tmp_path


def refill_of(path: Path, get: GetTrades | None, **changes: Any) -> TradeRefill:
    known: dict[str, Any] = {"venue": "binance", "partitions": 1, "rules": VenueRules(fills_follow=True)}
    return TradeRefill(path, **known, **{"most_trades": 1_000, "get": get, "note": list, **changes})


def stored(path: Path) -> list[tuple[Any, ...]]:
    with TradeReader(path) as reader:
        return reader.trades(SYMBOL, 0, BEGIN * 2).select("id", "time", "price", "quantity", "buyer_is_maker").rows()


def rows(trades: list[Trade]) -> list[tuple[Any, ...]]:
    return [(one.id, one.time, one.price, one.quantity, one.buyer_is_maker) for one in trades]


def test_what_lacks_is_fetched_and_stored(path: Path) -> None:
    asked: list[TradesQuery] = []

    def get(query: TradesQuery) -> list[Trade]:
        asked.append(query)
        return ALL[query.first_id : query.last_id + 1]

    done = refill_of(path, get).refill(SYMBOL, HOLES)

    assert asked == [PastTradesQuery(SYMBOL, 5, 29, ALL[4].time, ALL[30].time)], "one page has them all"
    assert stored(path) == rows(ALL)
    assert (done.trades, done.left) == (12, "")
    assert done.incidents[0] == Incident(
        "repair", "binance", SYMBOL, ALL[4].time, ALL[7].time, "verification: trades 5 to 6 were not stored",
        "2 trades fetched from the exchange and stored", 5, 6,
    )  # fmt: skip
    assert [(one.first_id, one.last_id) for one in done.incidents] == [(5, 6), (20, 29)]


@pytest.mark.parametrize(
    "false",
    [
        structs.replace(ALL[21], id=4),
        structs.replace(ALL[21], time=ALL[21].time + 3_600_000),
        structs.replace(ALL[21], price=0.0),
        structs.replace(ALL[21], symbol="ETHUSDT"),
    ],
)
def test_what_cannot_be_is_not_stored_and_what_the_venue_lacks_is_named(path: Path, false: Trade) -> None:
    done = refill_of(path, lambda _: [*ALL[20:21], false]).refill(SYMBOL, HOLES)

    assert stored(path) == rows([one for one in ALL if one.id not in LACKING or one.id == 20])
    assert (done.trades, [(one.first_id, one.last_id) for one in done.incidents]) == (1, [(20, 20)])
    reason = "the venue does not have all of them"
    assert done.left == f"trades 5 to 6, 20 to 29 of BTCUSDT are not stored: {reason}"


def test_a_large_hole_is_left_to_an_import(path: Path) -> None:
    done = refill_of(path, lambda query: ALL[query.first_id : query.last_id + 1], most_trades=5).refill(SYMBOL, HOLES)

    assert stored(path) == rows([one for one in ALL if one.id not in LACKING or one.id < 20])
    assert done.trades == 2
    assert done.left == (
        "trades 20 to 29 of BTCUSDT are not stored: feed.repair_trades is 5: import the time from "
        f"{ALL[19].time} to {ALL[30].time + 1} (ms UTC) with python -m bytewax.run flows.backfill"
    )


def test_beside_a_flow_nothing_is_asked_or_stored(path: Path) -> None:
    def get(query: TradesQuery) -> list[Trade]:
        raise AssertionError(query)

    with TradeStore(path / "part-00") as flow, flow.lock:
        done = refill_of(path, get).refill(SYMBOL, HOLES)

    assert (done.trades, done.incidents) == (0, ())
    what = f"a flow writes to {path / 'part-00'}: stop it, run this again, and start it"
    assert done.left == f"trades 5 to 6, 20 to 29 of BTCUSDT are not stored: {what}"


# --- kills ---

FAR = [trade(number + 5_000, number * 1_000 + 3_600_000, 100 + number / 4, 1.0) for number in range(40)]
FAR_HOLE = IdGap(5_005, 5_006, FAR[4].time, FAR[7].time)
LONG_HOLE = IdGap(40, 4_999, ALL[39].time, FAR[0].time)
LONG = [trade(number, number * 100 + 40_000, 101.0, 1.0) for number in range(40, 5_000)]


class Killed(BaseException):
    pass


class Ledger:
    """Incidents as the store has them: once each. It ends the process before or after one write of it."""

    def __init__(self) -> None:
        self.lines: dict[str, Incident] = {}
        self.writes = 0
        self.kill_before = self.kill_after = -1

    def note(self, incidents: Iterable[Incident]) -> None:
        place, self.writes = self.writes, self.writes + 1
        if place == self.kill_before:
            raise Killed
        self.lines |= {incident_id(one): one for one in incidents}
        if place == self.kill_after:
            raise Killed


def holed(path: Path) -> Path:
    with TradeStore(path / "part-00") as store, store.lock:
        there = [one for one in ALL if one.id not in LACKING] + [one for one in FAR if not 5_005 <= one.id <= 5_006]
        add_batches(store, [TradeBatch("binance", SYMBOL, there)])
    return path


@pytest.mark.parametrize("kill", ["kill_before", "kill_after"])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_repair_that_is_killed_and_run_again_names_each_of_its_gaps_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: str, place: int
) -> None:
    monkeypatch.setattr("flows.verification.refill.QUERY_TRADES", 2_500)
    known = {one.id: one for one in (*ALL, *LONG, *FAR)}

    def get(query: TradesQuery) -> list[Trade]:
        return [known[number] for number in range(query.first_id, query.last_id + 1) if number in known]

    calm, ledger = Ledger(), Ledger()
    gaps = [*HOLES, LONG_HOLE, FAR_HOLE]
    refill_of(holed(tmp_path / "calm"), get, note=calm.note, most_trades=10_000).refill(SYMBOL, gaps)
    assert calm.writes == 4, "two near gaps, two parts of a long one, and one that is far"

    killed = holed(tmp_path / "killed")
    setattr(ledger, kill, place)
    with pytest.raises(Killed):
        refill_of(killed, get, note=ledger.note, most_trades=10_000).refill(SYMBOL, gaps)
    stored_ids = {row[0] for row in stored(killed)}
    named = {number for one in ledger.lines.values() for number in range(one.first_id, one.last_id + 1)}
    assert stored_ids - {one.id for one in ALL if one.id not in LACKING} - {one.id for one in FAR} <= named
    found = [gap for gap in gaps_of(killed) if isinstance(gap, IdGap)]
    refill_of(killed, get, note=ledger.note, most_trades=10_000).refill(SYMBOL, found)

    assert (ledger.lines, stored(killed)) == (calm.lines, stored(tmp_path / "calm"))


def gaps_of(path: Path) -> list[object]:
    """What a verification finds."""
    ids = TradeIds(SYMBOL, fills_follow=True)
    with TradeReader(path) as reader:
        frame = reader.trades(SYMBOL, 0, BEGIN * 2, every_fill=True)
    return [*ids.add(frame), *ids.end()]


def test_a_venue_that_does_not_answer_ends_it_and_what_was_filled_stays_and_is_named(tmp_path: Path) -> None:
    def get(query: TradesQuery) -> list[Trade]:
        if query.first_id > 30:
            raise VenueError("no answer")
        return ALL[query.first_id : query.last_id + 1]

    path, noted = holed(tmp_path), list[Incident]()
    with pytest.raises(VenueError):
        refill_of(path, get, note=noted.extend).refill(SYMBOL, [*HOLES, FAR_HOLE])
    assert stored(path) == rows([*ALL, *(one for one in FAR if not 5_005 <= one.id <= 5_006)])
    assert [(one.first_id, one.last_id) for one in noted] == [(5, 6), (20, 29)]


@given(st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), max_size=30))
def test_gaps_that_are_near_share_a_page_and_none_is_lost(steps: list[tuple[int, int]]) -> None:
    gaps, at = list[IdGap](), 0
    for ahead, length in steps:
        gaps.append(IdGap(at + ahead, at + ahead + length - 1, 0, 0))
        at += ahead + length
    groups = near_each_other(gaps)
    assert [gap for group in groups for gap in group] == gaps
    assert all(group[-1].last - group[0].first < PAGE_TRADES for group in groups)
    assert all(two[0].last - one[0].first >= PAGE_TRADES for one, two in pairwise(groups))


def test_without_a_venue_the_command_is_named(path: Path) -> None:
    gaps = [IdGap(number, number, 0, 0) for number in range(5)]
    assert refill_of(path, None).refill(SYMBOL, gaps).left == (
        "trades 0 to 0, 1 to 1, 2 to 2 and 2 more gaps of BTCUSDT are not stored: "
        "python -m flows.verify --repair --against rest --symbols BTCUSDT fetches them"
    )


# --- wrong trades ---

WRONG = DisputedTradesQuery(SYMBOL, 10, 19, ALL[10].time, ALL[19].time)


def candle_of_trades(trades: list[Trade]) -> Candle:
    bucket = Bucket(trades[0].time // 60_000 * 60_000, trades[0].price)
    bucket.add_trades(trades)
    return candle_of(bucket, "binance", SYMBOL, "1m")


REFUTED = Refutation(WRONG, candle_of_trades(ALL[10:20]), is_confirmed=True)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A store in which one trade has another price, one another time, and one is missing."""
    stored = [one for one in ALL if one.id != 14]
    stored[12] = structs.replace(ALL[12], price=7.0)
    stored[19 - 1] = structs.replace(ALL[19], time=ALL[19].time + 60_000)
    with TradeStore(tmp_path / "part-00") as store, store.lock:
        add_batches(store, [TradeBatch("binance", SYMBOL, stored)])
    return tmp_path


def test_wrong_trades_are_replaced_wherever_they_are_stored(wrong: Path) -> None:
    asked: list[TradesQuery] = []

    def get(query: TradesQuery) -> list[Trade]:
        asked.append(query)
        return ALL[query.first_id : query.last_id + 1]

    done = refill_of(wrong, get).replace(SYMBOL, [REFUTED])

    assert asked == [WRONG]
    assert stored(wrong) == rows(ALL)
    assert (done.trades, done.left) == (3, "")
    [incident] = done.incidents
    assert (incident.kind, incident.begin, incident.end) == ("repair", WRONG.begin, WRONG.end)
    assert (incident.first_id, incident.last_id) == (10, 19)
    assert incident.outcome.startswith("3 of them ")


def test_trades_that_the_exchange_has_too_are_named_as_a_loss_once_for_all(path: Path) -> None:
    done = refill_of(path, lambda query: ALL[query.first_id : query.last_id + 1]).replace(SYMBOL, [REFUTED])

    assert done.trades == 0
    [incident] = done.incidents
    assert (incident.kind, incident.first_id, incident.last_id) == ("gap", 10, 19)
    assert incident.outcome == f"{LEFT}the exchange's REST side has the same"
    reason = "the venue's trades are the same"
    assert done.left == f"trades 10 to 19 of BTCUSDT do not make the exchange's candle: {reason}"


@pytest.mark.parametrize("answer", [[], [structs.replace(ALL[12], price=0.0)], QueryError("no fills", lasting=True)])
def test_wrong_trades_that_cannot_be_had_stay_and_are_named(wrong: Path, answer: list[Trade] | QueryError) -> None:
    before = stored(wrong)

    def get(_: TradesQuery) -> list[Trade]:
        if isinstance(answer, QueryError):
            raise answer
        return answer

    done = refill_of(wrong, get).replace(SYMBOL, [REFUTED])

    assert (done.trades, done.incidents, stored(wrong)) == (0, (), before)
    assert done.left.startswith("trades 10 to 19 of BTCUSDT do not make the exchange's candle: ")


def test_wrong_trades_beside_a_flow_or_without_a_venue_are_left_with_what_to_do(wrong: Path) -> None:
    def get(query: TradesQuery) -> list[Trade]:
        raise AssertionError(query)

    with TradeStore(wrong / "part-00") as flow, flow.lock:
        done = refill_of(wrong, get).replace(SYMBOL, [REFUTED])
    assert done.left.endswith(f"a flow writes to {wrong / 'part-00'}: stop it, run this again, and start it")
    done = refill_of(wrong, None).replace(SYMBOL, [REFUTED] * 5)
    assert done.left == (
        "trades 10 to 19, 10 to 19, 10 to 19 and 2 more candles of BTCUSDT do not make the exchange's candle: "
        "python -m flows.verify --repair --against rest --symbols BTCUSDT fetches them"
    )


@pytest.mark.parametrize("number", [5_000, 100_000])
def test_a_stored_trade_that_the_exchange_does_not_have_is_removed(path: Path, number: int) -> None:
    """Only where its trades make the candle."""
    before = stored(path)
    false = structs.replace(ALL[15], id=number)
    with TradeStore(path / "part-00") as store, store.lock:
        add_batches(store, [TradeBatch("binance", SYMBOL, [false])])
    other = structs.replace(REFUTED, truth=structs.replace(REFUTED.truth, volume=1.0))
    get = lambda query: ALL[query.first_id : query.last_id + 1]  # noqa: E731

    assert refill_of(path, get).replace(SYMBOL, [other]).trades == 0
    assert stored(path) == [*before, *rows([false])]
    done = refill_of(path, get).replace(SYMBOL, [REFUTED])

    assert (stored(path), done.trades, done.left) == (before, 1, "")


def test_without_a_word_about_the_candle_the_same_trades_are_no_loss(path: Path) -> None:
    """The candle may be the false one."""
    known = structs.replace(REFUTED, is_confirmed=False)
    done = refill_of(path, lambda query: ALL[query.first_id : query.last_id + 1]).replace(SYMBOL, [known])

    assert (done.trades, done.incidents) == (0, ())
    assert done.left.startswith("trades 10 to 19 of BTCUSDT do not make the exchange's candle: ")


@pytest.mark.parametrize("minutes", [0, 2, 600])
def test_of_a_trade_that_is_stored_twice_the_exchanges_version_stays(tmp_path: Path, minutes: int) -> None:
    false = structs.replace(ALL[15], quantity=9.0, time=ALL[15].time + minutes * 60_000 + 1)
    with TradeStore(tmp_path / "part-00") as store, store.lock:
        for trades in ([one for one in ALL if one.id != 15 or minutes], [false]):
            add_batches(store, [TradeBatch("binance", SYMBOL, trades)])
    query = DisputedTradesQuery(SYMBOL, 15, 15, false.time, false.time)

    left = refill_of(tmp_path, None).decide(SYMBOL, [query]).left
    assert left.endswith("--repair --against rest --symbols BTCUSDT fetches them")
    done = refill_of(tmp_path, lambda _: [ALL[15]]).decide(SYMBOL, [query])

    with TradeReader(tmp_path) as reader:
        frames = list(reader.iterate(SYMBOL, 0, BEGIN * 2, every_version=True))
    assert [row for frame in frames for row in frame["quantity"]] == [one.quantity for one in ALL]
    assert (done.trades, done.left, [one.first_id for one in done.incidents]) == (1, "", [15])


# --- trades among others that follow each other without them ---

ASTRAY = [structs.replace(ALL[20], id=5_000 + number, time=ALL[20].time + number) for number in range(3)]
MISPLACED = Misplaced(5_000, 5_002, ASTRAY[0].time, ASTRAY[-1].time, (39, ALL[39].time))


@pytest.fixture
def astray(tmp_path: Path) -> Path:
    with TradeStore(tmp_path / "part-00") as store, store.lock:
        add_batches(store, [TradeBatch("binance", SYMBOL, [*ALL, *ASTRAY])])
    return tmp_path


def test_trades_that_the_venue_does_not_have_there_are_removed(astray: Path) -> None:
    left = refill_of(astray, None).remove(SYMBOL, [MISPLACED]).left
    assert left.endswith("--repair --against rest --symbols BTCUSDT fetches them")
    done = refill_of(astray, lambda query: ALL[query.first_id : query.last_id + 1]).remove(SYMBOL, [MISPLACED])
    assert (stored(astray), done.trades, done.left) == (rows(ALL), 3, "")
    assert [(one.kind, one.first_id, one.outcome) for one in done.incidents] == [("repair", -1, "3 of them removed")]


@pytest.mark.parametrize("answers", ["none", "these"])
def test_where_the_venue_knows_nothing_of_the_others_or_has_them_they_stay(astray: Path, answers: str) -> None:
    has = [] if answers == "none" else [*ALL, *ASTRAY]
    get = lambda query: [one for one in has if query.first_id <= one.id <= query.last_id]  # noqa: E731
    done = refill_of(astray, get).remove(SYMBOL, [MISPLACED])
    assert (stored(astray), done.trades, done.incidents) == (rows([*ALL, *ASTRAY]), 0, ())
    assert done.left.startswith("trades 5000 to 5002 of BTCUSDT are stored where they cannot belong: ")
