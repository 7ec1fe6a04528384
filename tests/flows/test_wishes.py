"""What is wanted, as a rule; and the desk that follows it, with a real server."""

from collections.abc import Mapping
from typing import Any

import pytest
from pymongo.database import Database
from structlog.testing import capture_logs

from flows.model import Incident
from flows.settings import Feed
from flows.wishes import RETRY_S, WishDesk, wanted
from sinks.requests import INSTRUMENTS, SUBSCRIPTIONS, Attendant, Wish

TRADING = dict.fromkeys(("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"), "TRADING")


def feed(**changes: Any) -> Feed:
    return Feed(**{"symbols": ("BTCUSDT", "ETHUSDT")} | changes)


def wish(symbol: str, *streams: str, is_wanted: bool = True) -> Wish:
    return Wish("binance", symbol, is_wanted, streams)


def test_the_settings_and_the_wishes_together_say_what_is_followed() -> None:
    found = wanted(feed(), [wish("solusdt", "kline"), wish("ETHUSDT", is_wanted=False)], TRADING)
    assert found == ({"BTCUSDT": (), "SOLUSDT": ("kline",)}, frozenset(), {})


def test_a_symbol_that_the_venue_does_not_have_is_refused_with_its_neighbours() -> None:
    found = wanted(feed(), [wish("SOLUSD")], TRADING)
    assert list(found.wishes) == ["BTCUSDT", "ETHUSDT"]
    assert found.refused["SOLUSD"].startswith("SOLUSD is not traded there; did you mean SOLUSDT")


def test_as_long_as_the_venue_has_not_told_what_it_has_all_is_followed() -> None:
    assert list(wanted(feed(), [wish("SOLUSD")], {}).wishes) == ["BTCUSDT", "ETHUSDT", "SOLUSD"]


def test_a_wish_may_name_the_klines_of_one_timeframe() -> None:
    found = wanted(feed(timeframes=("1m", "5m")), [wish("SOLUSDT", "aggTrade", "kline_5m")], TRADING)
    assert (found.wishes["SOLUSDT"], found.refused) == (("aggTrade", "kline_5m"), {})


@pytest.mark.parametrize("kind", ["trade", "tick", "kline_3m", "kline_", "depth_1m"])
def test_streams_that_cannot_be_had_are_refused(kind: str) -> None:
    found = wanted(feed(), [wish("SOLUSDT", "kline", kind)], TRADING)
    assert found.refused["SOLUSDT"].startswith(f"{kind} cannot be followed here; choose from aggTrade, kline")


def test_an_instrument_that_does_not_trade_is_quiet() -> None:
    statuses = {**TRADING, "BTCUSDT": "HALT"}
    assert wanted(feed(), [], statuses).quiet == {"BTCUSDT"}
    assert wanted(feed(), [], {"BTCUSDT": "TRADING"}).quiet == {"ETHUSDT"}  # not listed any more


def test_every_symbol_is_of_one_process_and_only_of_one() -> None:
    names = [f"COIN{number}USDT" for number in range(40)]
    symbols = tuple(names[:5])
    shares = [
        set(wanted(feed(symbols=symbols, shard=f"{i}/3"), [wish(name) for name in names], {}).wishes) for i in (1, 2, 3)
    ]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert [share & set(symbols) for share in shares] == [
        set(feed(symbols=symbols, shard=f"{i}/3").own_symbols) for i in (1, 2, 3)
    ]


class Desk:
    """A desk whose venue and source are lists, and whose clock is moved by hand."""

    def __init__(self, database: Database[dict[str, Any]], statuses: Mapping[str, str] | None = None) -> None:
        self.answers: list[Mapping[str, str] | None] = []
        self.followed: list[tuple[dict[str, Any], frozenset[str]]] = []
        self.incidents: list[Incident] = []
        self.local_s = 0.0
        self.desk = WishDesk(
            Attendant(database),
            feed=feed(),
            follow=lambda wishes, *, quiet: self.followed.append((dict(wishes), quiet)),
            ask=lambda: self.answers.pop(0),
            report=self.incidents.append,
            statuses=statuses,
            local_s=lambda: self.local_s,
        )


def put(database: Database[dict[str, Any]], wish: Wish) -> None:
    """As the API does it."""
    document = {"venue": wish.venue, "symbol": wish.symbol, "wanted": wish.wanted, "streams": list(wish.streams)}
    database[SUBSCRIPTIONS].replace_one({"_id": f"{wish.venue}:{wish.symbol}"}, document, upsert=True)


def test_the_settings_symbols_are_written_down_and_the_wishes_followed(
    mongo_database: Database[dict[str, Any]],
) -> None:
    put(mongo_database, wish("ETHUSDT", is_wanted=False))
    it = Desk(mongo_database, TRADING)
    it.desk.look()
    assert it.followed == [({"BTCUSDT": ()}, frozenset())]
    wishes = Attendant(mongo_database).wishes("binance")
    assert wishes == [wish("BTCUSDT"), wish("ETHUSDT", is_wanted=False)]  # what was said before stays
    it.desk.look()
    put(mongo_database, wish("SOLUSDT", "kline"))
    it.desk.look()
    assert it.followed[1:] == [({"BTCUSDT": (), "SOLUSDT": ("kline",)}, frozenset())]


def test_a_refusal_is_said_once_and_leaves_the_wish_alone(mongo_database: Database[dict[str, Any]]) -> None:
    put(mongo_database, wish("SOLUSD"))
    it = Desk(mongo_database, TRADING)
    with capture_logs() as logs:
        it.desk.look()
        it.desk.look()
    assert [entry["symbol"] for entry in logs if entry["event"] == "a wish is refused"] == ["SOLUSD"]
    assert wish("SOLUSD") in Attendant(mongo_database).wishes("binance")


def test_the_venues_instruments_are_published_and_asked_for_again(mongo_database: Database[dict[str, Any]]) -> None:
    it = Desk(mongo_database)
    it.answers = [None, TRADING, {**TRADING, "ETHUSDT": "BREAK"}, TRADING, {**TRADING, "ETHUSDT": "BREAK"}]
    for wait_s in (0, RETRY_S, 7_200, 7_200, 7_200):
        it.local_s += wait_s
        it.desk.look()
        it.desk.look()
    listed = {found["symbol"]: found["status"] for found in mongo_database[INSTRUMENTS].find()}
    assert listed == {**TRADING, "ETHUSDT": "BREAK"}
    assert [quiet for _, quiet in it.followed] == [set(), {"ETHUSDT"}, set(), {"ETHUSDT"}]
    assert [(incident.kind, incident.symbol, incident.cause) for incident in it.incidents] == [
        ("stale", "ETHUSDT", 'ETHUSDT does not trade: its status is not TRADING, the exchange says: "BREAK"')
    ] * 2
