from flows.clock import Now
from flows.model import Candle, Incident, RefreshRequest, RefreshResult, StoreOnly
from flows.operators.candles.disputed_trades import DisputedTrades
from flows.operators.candles.past import Past
from flows.operators.candles.settle import Settler
from flows.operators.candles.track import Track
from flows.operators.candles.versions import candle_of_kline
from flows.queries import History, HistoryQuery, QueryError
from sources.binance.rules import RULES
from tests.fakes.candles import BEGIN, candle, kline_like

NOW = Now(BEGIN + 3_600_000, 0)


def past(venue: str = "binance", *, can_query: bool = True) -> tuple[Past, dict[str, Track]]:
    rules = RULES[venue]
    tracks = {
        name: Track(name, venue=venue, symbol="BTCUSDT", grace_ms=0, kept_ms=0, is_shortest=name == "1m")
        for name in ("1m", "1h")
    }
    settler = Settler(tracks, DisputedTrades("binance", "BTCUSDT"), venue=venue, rules=rules, can_query=can_query)
    return Past(venue, "BTCUSDT", tracks, settler, rules=rules, can_query=can_query), tracks


def history(*klines: Candle, stored: Candle | None = None) -> History:
    known = {stored.open_time: stored} if stored else {}
    return History("1m", [kline_like(one, first_id=-1, last_id=-1) for one in klines], known)


def test_what_is_not_stored_becomes_the_exchanges_version() -> None:
    some, _ = past()
    expected = candle_of_kline("binance", kline_like(candle(), first_id=-1, last_id=-1))
    assert some.take([history(candle())], NOW) == [StoreOnly(expected)]
    assert some.take([history(candle(), stored=expected)], NOW) == []


def test_usdm_candles_that_differ_by_design_are_left_as_they_are() -> None:
    some, _ = past("binance-usdm")
    stored = candle(venue="binance-usdm")
    [proven] = some.take([history(candle(volume=13.0), stored=stored)], NOW)
    assert isinstance(proven, StoreOnly)
    assert (proven.candle.volume, proven.candle.proof) == (12.5, "not comparable")
    wrong, incident = some.take([history(candle(high=102.0), stored=stored)], NOW)
    assert isinstance(wrong, StoreOnly)
    assert isinstance(incident, Incident)
    assert (wrong.candle.status, wrong.candle.proof, incident.kind) == ("venue", "ours wrong", "mismatch")


def test_what_is_ours_to_build_is_left_to_its_trades() -> None:
    some, tracks = past()
    tracks["1m"].begin(candle(3))
    assert [type(one) for one in some.take([history(candle(2), candle(3), candle(4))], NOW)] == [StoreOnly]


def test_a_failure_is_an_incident_and_what_came_is_taken() -> None:
    some, _ = past()
    [incident] = some.take(QueryError("no network"), NOW)
    assert isinstance(incident, Incident)
    assert (incident.kind, incident.cause) == ("history", "no network")
    lacking = History("1m", [kline_like(candle())], {}, "page 2 failed")
    assert [type(one) for one in some.take([lacking], NOW)] == [Incident, StoreOnly]


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
    assert some.query(NOW) == [HistoryQuery("BTCUSDT", ("1m", "1h"), NOW.feed)]
    assert some.query(NOW, least_ms=3_600_000) == [HistoryQuery("BTCUSDT", ("1h",), NOW.feed)]
    assert some.query(NOW, least_ms=3_600_001) == []


def test_the_history_has_no_ids_and_takes_none_of_what_it_contradicts() -> None:
    some, _ = past()
    for stored in (candle(high=200.0), candle(status="partial", trades=3), candle(status="venue", high=200.0)):
        written = some.take([history(candle(), stored=stored)], NOW)[0]
        assert isinstance(written, StoreOnly)
        assert (written.candle.status, written.candle.first_id, written.candle.last_id) == ("venue", -1, -1)
