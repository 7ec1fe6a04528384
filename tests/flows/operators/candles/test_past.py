import pytest
from msgspec.structs import replace

from flows.clock import Now
from flows.model import Candle, Incident, RefreshRequest, RefreshResult, StoreOnly, TradeBatch
from flows.operators.candles.disputed_trades import DisputedTrades
from flows.operators.candles.past import Past
from flows.operators.candles.settle import AGAIN_MS, OURS_WRONG, STANDS, TRADES_SAY_OURS, Settler
from flows.operators.candles.track import Track
from flows.operators.candles.versions import candle_of_kline
from flows.queries import DisputedTradesQuery, History, HistoryQuery, QueryError
from sources.binance.rules import RULES
from tests.fakes.candles import BEGIN, candle, candle_of, kline_like
from tests.fakes.trades import trade

NOW = Now(BEGIN + 3_600_000, 0)
QUERY = HistoryQuery("BTCUSDT", ("1m",), NOW.feed)


def past(
    venue: str = "binance", *, can_query: bool = True, disputed: DisputedTrades | None = None
) -> tuple[Past, dict[str, Track]]:
    rules = RULES[venue]
    tracks = {
        name: Track(name, venue=venue, symbol="BTCUSDT", grace_ms=0, kept_ms=0, is_shortest=name == "1m")
        for name in ("1m", "1h")
    }
    disputed = disputed or DisputedTrades("binance", "BTCUSDT")
    settler = Settler(tracks, disputed, venue=venue, rules=rules, can_query=can_query)
    return Past(venue, "BTCUSDT", tracks, settler, rules=rules, can_query=can_query), tracks


def history(*klines: Candle, stored: Candle | None = None) -> History:
    known = {stored.open_time: stored} if stored else {}
    return History("1m", [kline_like(one, first_id=-1, last_id=-1) for one in klines], known)


def test_what_is_not_stored_becomes_the_exchanges_version() -> None:
    some, _ = past()
    expected = candle_of_kline("binance", kline_like(candle(), first_id=-1, last_id=-1))
    assert some.take(QUERY, [history(candle())], NOW) == [StoreOnly(expected)]
    assert some.take(QUERY, [history(candle(), stored=expected)], NOW) == []


def test_usdm_candles_that_differ_by_design_are_left_as_they_are() -> None:
    some, _ = past("binance-usdm")
    stored = candle(venue="binance-usdm")
    [proven] = some.take(QUERY, [history(candle(volume=13.0), stored=stored)], NOW)
    assert isinstance(proven, StoreOnly)
    assert (proven.candle.volume, proven.candle.proof) == (12.5, "not comparable")
    wrong, incident = some.take(QUERY, [history(candle(high=102.0), stored=stored)], NOW)
    assert isinstance(wrong, StoreOnly)
    assert isinstance(incident, Incident)
    assert (wrong.candle.status, wrong.candle.proof, incident.kind) == ("venue", "ours wrong", "mismatch")


def test_what_is_ours_to_build_is_left_to_its_trades() -> None:
    some, tracks = past()
    tracks["1m"].begin(candle(3))
    assert [type(one) for one in some.take(QUERY, [history(candle(2), candle(3), candle(4))], NOW)] == [StoreOnly]


def test_a_failure_is_an_incident_and_what_came_is_taken() -> None:
    some, _ = past()
    [incident] = some.take(QUERY, QueryError("no network"), NOW)
    assert isinstance(incident, Incident)
    assert (incident.kind, incident.cause) == ("history", "no network")
    lacking = History("1m", [kline_like(candle())], {}, "page 2 failed")
    assert [type(one) for one in some.take(QUERY, [lacking], NOW)] == [Incident, StoreOnly]


def test_every_request_ends_with_a_result() -> None:
    some, tracks = past()
    request = RefreshRequest(("BTCUSDT",), "r1", ("1m",))
    query = some.query_requested(request, NOW)
    assert query == HistoryQuery("BTCUSDT", ("1m",), NOW.feed, "r1")
    assert isinstance(query, HistoryQuery)
    for answer in ([], [history(candle())], QueryError("no network")):
        assert isinstance(some.refresh(query, answer, NOW)[-1], RefreshResult)
        assert isinstance(some.republish(query, answer, NOW)[-1], RefreshResult)
    unable, _ = past(can_query=False)
    assert isinstance(unable.query_requested(request, NOW), RefreshResult)
    assert tracks["1m"].published == {}


def test_timeframes_below_a_length_are_left_out_of_a_query() -> None:
    some, _ = past()
    assert some.query(NOW.feed) == [HistoryQuery("BTCUSDT", ("1m", "1h"), NOW.feed)]
    assert some.query(NOW.feed, least_ms=3_600_000) == [HistoryQuery("BTCUSDT", ("1h",), NOW.feed)]
    assert some.query(NOW.feed, least_ms=3_600_001) == []


def test_the_history_has_no_ids_and_takes_none_of_what_it_contradicts() -> None:
    some, _ = past()
    for stored in (candle(high=200.0), candle(status="partial", trades=3), candle(status="venue", high=200.0)):
        written = some.take(QUERY, [history(candle(), stored=stored)], NOW)[0]
        assert isinstance(written, StoreOnly)
        assert (written.candle.status, written.candle.first_id, written.candle.last_id) == ("venue", -1, -1)


# --- stored candles with a proof ---

LATER = Now(NOW.feed + AGAIN_MS, AGAIN_MS)
LIE = candle(high=200.0)


def outcomes(out: list[object]) -> list[str]:
    return [one.outcome for one in out if isinstance(one, Incident)]


@pytest.mark.parametrize("proof", ["equal", "theirs wrong"])
def test_one_answer_does_not_overturn_what_is_stored_with_a_proof(proof: str) -> None:
    some, _ = past()
    stored = candle(proof=proof)
    out = some.take(QUERY, [history(LIE, stored=stored)], NOW)
    assert [type(one) for one in out] == [Incident]
    assert outcomes([*out]) == [STANDS]
    assert (some.query_again(NOW), some.dues()) == ([], [AGAIN_MS])
    assert some.take(QUERY, [history(LIE, stored=stored)], NOW) == [], "not at another time"
    [query] = some.query_again(LATER)
    assert query == HistoryQuery("BTCUSDT", ("1m",), LATER.feed, "", BEGIN, BEGIN + 60_000)
    some.take(QUERY, [history(candle(), stored=stored)], LATER)
    assert (some.query_again(LATER), some.dues()) == ([], [])


def test_answers_that_all_differ_end() -> None:
    some, _ = past()
    local = asked = 0
    while True:
        answer = history(candle(high=200.0 + asked), stored=candle(proof="equal"))
        assert [type(one) for one in some.take(QUERY, [answer], Now(NOW.feed, local))] == [Incident]
        if not some.dues():
            break
        [local] = some.dues()
        asked += len(some.query_again(Now(NOW.feed, local)))
    assert 1 < asked < 10


def test_what_is_due_is_asked_in_one_query_for_each_timeframe() -> None:
    some, _ = past()
    klines = [candle(number, high=200.0) for number in (1, 4, 2_000)]
    known = {one.open_time: replace(one, high=101.5, proof="equal") for one in klines}
    some.take(QUERY, [History("1m", [kline_like(one) for one in klines], known)], NOW)
    spans = [(one.start - BEGIN, one.end - BEGIN) for _ in range(3) for one in some.query_again(LATER)]
    assert spans == [(60_000, 300_000), (2_000 * 60_000, 2_001 * 60_000)]


@pytest.mark.parametrize("answer", ["ours", "theirs", "neither"])
def test_what_is_said_twice_of_it_the_trades_decide(answer: str) -> None:
    trades = [trade(number, number * 100, 100.0 + number) for number in range(1, 9)]
    others, neither = ([replace(one, price=one.price + by) for one in trades] for by in (7, 9))
    disputed = DisputedTrades("binance", "BTCUSDT")
    some, _ = past(disputed=disputed)
    stored, theirs = candle_of(trades, proof="equal", revision=3), candle_of(others)
    some.take(QUERY, [history(theirs, stored=stored)], NOW)
    some.query_again(LATER)
    query = DisputedTradesQuery("BTCUSDT", stored.first_id, stored.last_id, stored.open_time, stored.close_time)
    batch = TradeBatch("binance", "BTCUSDT", {"ours": trades, "theirs": others, "neither": neither}[answer])
    assert some.take_trades(query, batch) == [], "not before it is said twice"
    assert some.take(QUERY, [history(theirs, stored=stored)], LATER) == []
    assert disputed.next_queries(LATER) == [query]
    out = some.take_trades(query, batch)
    candles = [one.candle for one in out if isinstance(one, StoreOnly)]
    expected = {"ours": [TRADES_SAY_OURS], "theirs": [OURS_WRONG], "neither": []}
    assert outcomes([*out]) == expected[answer]
    found = [(one.prices, one.status, one.proof, one.revision) for one in candles]
    assert found == ([(theirs.prices, "venue", "ours wrong", 4)] if answer == "theirs" else [])
    assert some.take(QUERY, [history(theirs, stored=stored)], LATER) == [] or answer == "theirs"
    assert disputed.next_queries(LATER) == [], "the trades are asked for once"
