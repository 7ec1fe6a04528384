"""What is wanted, as a rule; and the controller that follows it, with a real server."""

from collections.abc import Mapping
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import ServerSelectionTimeoutError
from structlog.testing import capture_logs

from flows.model import Incident, ListedInstrument
from flows.runtime.subscriptions import (
    DOUBT_S,
    OTHER_STATUS,
    RETRY_S,
    SubscriptionController,
    listed_in,
    statuses_of,
    wanted,
)
from flows.settings import Feed
from flows.spellings import Catalogue, Spellings
from sinks.mongo.commands import INSTRUMENTS, SUBSCRIPTIONS, CommandConsumer, DesiredSubscription, NoCommands

TRADING = dict.fromkeys(("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"), "TRADING")


def listed(statuses: Mapping[str, str]) -> list[ListedInstrument]:
    """The venue's list with these statuses; what ends with a quote asset has its assets."""
    found = []
    for symbol, status in statuses.items():
        assets = (symbol.removesuffix("USDT"), "USDT") if symbol.endswith("USDT") else ("", "")
        found.append(ListedInstrument("binance", symbol, status, *assets, 2, 5))
    return found


def feed(**changes: Any) -> Feed:
    return Feed(**{"symbols": ("BTCUSDT", "ETHUSDT")} | changes)


def subscription(symbol: str, *streams: str, is_wanted: bool = True) -> DesiredSubscription:
    return DesiredSubscription("binance", symbol, is_wanted, streams)


def test_the_settings_and_the_wishes_together_say_what_is_followed() -> None:
    found = wanted(feed(), [subscription("solusdt", "kline"), subscription("ETHUSDT", is_wanted=False)], TRADING)
    assert found == ({"BTCUSDT": (), "SOLUSDT": ("kline",)}, frozenset(), {}, frozenset())


def test_symbols_that_the_venue_does_not_list_are_left_out_wherever_they_come_from() -> None:
    found = wanted(feed(symbols=("BTCUSDT", "ETHUSD")), [subscription("SOLUSD"), subscription("XRPUSDT")], TRADING)
    assert (list(found.streams), found.refused) == (["BTCUSDT", "XRPUSDT"], {})
    assert found.unlisted == {"ETHUSD", "SOLUSD"}


@pytest.mark.parametrize("name", ["<img>", "A B", "A//:B", "", "A\u202eB", "\u00df"])
def test_a_wish_for_what_can_be_no_symbol_is_refused(name: str) -> None:
    found = wanted(feed(), [subscription(name)], {})
    assert (list(found.streams), list(found.refused)) == (["BTCUSDT", "ETHUSDT"], [name])
    assert "is no symbol: write the exchange's own name" in found.refused[name]


def test_of_the_venues_list_only_names_and_words_are_taken() -> None:
    hostile = {"<img>": "TRADING", "A B": "TRADING", "BTCUSDT": "TRADING", "ETHUSDT": "<b>\n", "币安人生USDT": "BREAK"}
    assert statuses_of(listed_in(listed(hostile))) == {
        "BTCUSDT": "TRADING",
        "ETHUSDT": OTHER_STATUS,
        "币安人生USDT": "BREAK",
    }


def test_as_long_as_the_venue_has_not_told_what_it_has_all_is_followed() -> None:
    assert list(wanted(feed(), [subscription("SOLUSD")], {}).streams) == ["BTCUSDT", "ETHUSDT", "SOLUSD"]


def test_any_spelling_of_a_listed_instrument_is_followed_by_its_own_name() -> None:
    own = Spellings(listed(TRADING)).symbol
    found = wanted(feed(symbols=("XBT/USDT", "eth_usdt")), [subscription("sol-usdt", "kline")], TRADING, own)
    assert found == ({"BTCUSDT": (), "ETHUSDT": (), "SOLUSDT": ("kline",)}, frozenset(), {}, frozenset())


def test_a_wish_may_name_the_klines_of_one_timeframe() -> None:
    found = wanted(feed(timeframes=("1m", "5m")), [subscription("SOLUSDT", "aggTrade", "kline_5m")], TRADING)
    assert (found.streams["SOLUSDT"], found.refused) == (("aggTrade", "kline_5m"), {})


@pytest.mark.parametrize("kind", ["trade", "tick", "kline_3m", "kline_", "depth_1m"])
def test_streams_that_cannot_be_had_are_refused(kind: str) -> None:
    found = wanted(feed(), [subscription("SOLUSDT", "kline", kind)], TRADING)
    assert found.refused["SOLUSDT"].startswith(f"{kind} cannot be followed here; choose from aggTrade, kline")


def test_an_instrument_that_does_not_trade_is_quiet() -> None:
    statuses = {**TRADING, "BTCUSDT": "HALT"}
    assert wanted(feed(), [], statuses).not_trading == {"BTCUSDT"}
    assert wanted(feed(), [], {"BTCUSDT": "TRADING"}).unlisted == {"ETHUSDT"}


def test_every_symbol_is_of_one_process_and_only_of_one() -> None:
    names = [f"COIN{number}USDT" for number in range(40)]
    symbols = tuple(names[:5])
    shares = [
        set(wanted(feed(symbols=symbols, shard=f"{i}/3"), [subscription(name) for name in names], {}).streams)
        for i in (1, 2, 3)
    ]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert [share & set(symbols) for share in shares] == [
        set(feed(symbols=symbols, shard=f"{i}/3").own_symbols) for i in (1, 2, 3)
    ]


class Controller:
    """A controller whose venue and source are lists, and whose clock is moved by hand."""

    def __init__(
        self, database: Database[dict[str, Any]] | None, statuses: Mapping[str, str] | None = None, **changes: Any
    ) -> None:
        self.answers: list[Mapping[str, str] | None] = []
        self.followed: list[tuple[dict[str, Any], frozenset[str]]] = []
        self.incidents: list[Incident] = []
        self.announced: list[tuple[tuple[str, ...], str]] = []
        self.doubtful: frozenset[str] = frozenset()
        self.local_s = 0.0
        self.catalogue = Catalogue()
        self.controller = SubscriptionController(
            NoCommands() if database is None else CommandConsumer(database),
            feed=feed(**changes),
            follow=lambda desired, *, not_trading: self.followed.append((dict(desired), not_trading)),
            announce=lambda event: self.announced.append((event.symbols, event.status)),
            query_instruments=lambda: None if (answer := self.answers.pop(0)) is None else listed(answer),
            report=self.incidents.append,
            catalogue=self.catalogue,
            instruments=None if statuses is None else listed(statuses),
            doubtful=lambda: self.doubtful,
            local_s=lambda: self.local_s,
        )


def put(database: Database[dict[str, Any]], subscription: DesiredSubscription) -> None:
    """As the API does it."""
    document = {
        "venue": subscription.venue,
        "symbol": subscription.symbol,
        "wanted": subscription.wanted,
        "streams": list(subscription.streams),
    }
    database[SUBSCRIPTIONS].replace_one({"_id": f"{subscription.venue}:{subscription.symbol}"}, document, upsert=True)


def test_the_settings_symbols_are_written_down_and_the_wishes_followed(
    mongo_database: Database[dict[str, Any]],
) -> None:
    put(mongo_database, subscription("ETHUSDT", is_wanted=False))
    it = Controller(mongo_database, TRADING)
    it.controller.look()
    assert it.followed == [({"BTCUSDT": ()}, frozenset())]
    subscriptions = CommandConsumer(mongo_database).subscriptions("binance")
    assert subscriptions == [
        subscription("BTCUSDT"),
        subscription("ETHUSDT", is_wanted=False),
    ]  # what was said before stays
    it.controller.look()
    put(mongo_database, subscription("SOLUSDT", "kline"))
    it.controller.look()
    assert it.followed[1:] == [({"BTCUSDT": (), "SOLUSDT": ("kline",)}, frozenset())]


def test_a_refusal_is_said_once_and_leaves_the_wish_alone(mongo_database: Database[dict[str, Any]]) -> None:
    put(mongo_database, subscription("SOLUSD", "tick"))
    it = Controller(mongo_database, TRADING)
    with capture_logs() as logs:
        it.controller.look()
        it.controller.look()
    assert [entry["symbol"] for entry in logs if entry["event"] == "subscription_refused"] == ["SOLUSD"]
    assert subscription("SOLUSD", "tick") in CommandConsumer(mongo_database).subscriptions("binance")


def test_the_venues_instruments_are_published_and_asked_for_again(mongo_database: Database[dict[str, Any]]) -> None:
    it = Controller(mongo_database)
    it.answers = [None, TRADING, {**TRADING, "ETHUSDT": "BREAK"}, TRADING, {**TRADING, "ETHUSDT": "BREAK"}]
    for wait_s in (0, RETRY_S, 600, 600, 600):
        it.local_s += wait_s
        it.controller.look()
        it.controller.look()
    listed = {found["symbol"]: found["status"] for found in mongo_database[INSTRUMENTS].find()}
    assert listed == {**TRADING, "ETHUSDT": "BREAK"}
    assert [not_trading for _, not_trading in it.followed] == [set(), {"ETHUSDT"}, set(), {"ETHUSDT"}]
    assert [(incident.kind, incident.symbol, incident.cause) for incident in it.incidents] == [
        ("stale", "ETHUSDT", 'ETHUSDT does not trade: its status is not TRADING, the exchange says: "BREAK"')
    ] * 2


def test_an_unlisted_symbol_is_named_once_left_out_and_followed_when_it_is_listed() -> None:
    it = Controller(None, TRADING, symbols=("BTCUSDT", "ETHUSD"))
    it.answers = [TRADING, {**TRADING, "ETHUSD": "TRADING"}]
    with capture_logs() as logs:
        for _ in range(3):
            it.controller.look()
    [entry] = [entry for entry in logs if entry["log_level"] == "error"]
    assert (entry["event"], entry["symbol"], entry["nearest"][0]) == ("symbol_not_listed", "ETHUSD", "ETHUSDT")
    [incident] = it.incidents
    assert (incident.kind, incident.symbol) == ("unlisted", "ETHUSD")
    assert incident.cause.startswith("ETHUSD is not listed; the nearest names are ETHUSDT")
    assert it.followed == [({"BTCUSDT": ()}, frozenset())]
    assert it.announced == [(("BTCUSDT",), "TRADING"), (("ETHUSD",), "")]
    for _ in range(2):
        it.local_s += 600
        it.controller.look()
    assert it.followed[1:] == [({"BTCUSDT": (), "ETHUSD": ()}, frozenset())]
    assert it.announced[2:] == [(("ETHUSD",), "TRADING")]
    assert len(it.incidents) == 1


def test_what_stops_trading_is_announced_each_time_it_changes() -> None:
    it = Controller(None)
    halted = {**TRADING, "ETHUSDT": "HALT"}
    it.answers = [None, TRADING, halted, halted, TRADING]
    for wait_s in (0, RETRY_S, 600, 600, 600):
        it.local_s += wait_s
        it.controller.look()
        it.controller.look()
    assert it.announced == [(("BTCUSDT", "ETHUSDT"), "TRADING"), (("ETHUSDT",), "HALT"), (("ETHUSDT",), "TRADING")]
    assert [incident.kind for incident in it.incidents] == ["stale"]


def test_a_symbol_is_gone_when_two_lists_in_a_row_leave_it_out() -> None:
    it = Controller(None, TRADING)
    less = {symbol: "TRADING" for symbol in TRADING if symbol != "ETHUSDT"}
    it.answers = [less, TRADING, less, less, less, TRADING]
    waits = (0, 600, RETRY_S, 600, RETRY_S, 600, 600)
    followed = []
    for wait_s in waits:
        it.local_s += wait_s
        it.controller.look()
        followed.append("ETHUSDT" in it.followed[-1][0])
    assert followed == [True, True, True, True, False, False, True]
    assert [(incident.kind, incident.symbol) for incident in it.incidents] == [("unlisted", "ETHUSDT")]
    assert it.incidents[0].cause.startswith("ETHUSDT is not listed any more")
    assert it.announced[-2:] == [(("ETHUSDT",), ""), (("ETHUSDT",), "TRADING")]


@pytest.mark.parametrize("answer", [None, {}, {"<img>": "TRADING"}])
def test_an_answer_without_instruments_changes_nothing(answer: Mapping[str, str] | None) -> None:
    it = Controller(None, TRADING)
    it.answers = [answer, answer, answer]
    for _ in range(3):
        it.controller.look()
        it.local_s += 600
    assert it.followed == [({"BTCUSDT": (), "ETHUSDT": ()}, frozenset())]
    assert it.incidents == []


class Away(NoCommands):
    """A server that cannot be read."""

    def subscriptions(self, venue: str) -> list[DesiredSubscription]:
        raise ServerSelectionTimeoutError("away")


def test_without_the_document_store_the_listed_symbols_of_the_settings_are_followed() -> None:
    it = Controller(None, TRADING, symbols=("BTCUSDT", "ETHUSD"))
    it.controller._commands = Away()
    with pytest.raises(ServerSelectionTimeoutError):
        it.controller.look()
    assert it.followed == [({"BTCUSDT": ()}, frozenset())]
    assert it.announced == [(("BTCUSDT",), "TRADING"), (("ETHUSD",), "")]


def test_a_symbol_in_doubt_brings_one_query_forward() -> None:
    it = Controller(None, TRADING)
    it.controller.look()
    it.doubtful = frozenset(("ETHUSDT",))
    it.answers = [TRADING | {"ETHUSDT": "HALT"}]
    it.local_s = 1.0
    it.controller.look()
    assert it.announced == [(("BTCUSDT", "ETHUSDT"), "TRADING"), (("ETHUSDT",), "HALT")]
    assert it.followed[-1] == ({"BTCUSDT": (), "ETHUSDT": ()}, frozenset({"ETHUSDT"}))
    it.local_s = 100.0
    it.controller.look()  # still in doubt: no query, of which there is no answer here


def test_queries_because_of_doubts_are_bounded_and_none_is_forgotten() -> None:
    it = Controller(None, TRADING)
    it.doubtful = frozenset(("ETHUSDT",))
    it.answers = [TRADING, TRADING | {"BTCUSDT": "BREAK"}]
    it.controller.look()
    it.doubtful = frozenset(("BTCUSDT", "ETHUSDT"))
    it.local_s = DOUBT_S - 0.1
    it.controller.look()
    assert len(it.answers) == 1
    it.local_s = DOUBT_S
    it.controller.look()
    assert it.announced[-1] == (("BTCUSDT",), "BREAK")


def test_a_symbol_that_falls_silent_again_is_in_doubt_again() -> None:
    it = Controller(None, TRADING)
    it.answers = [TRADING, TRADING]
    for at_s, doubtful in ((0.0, {"ETHUSDT"}), (30.0, set[str]()), (31.0, {"ETHUSDT"})):
        it.local_s, it.doubtful = at_s, frozenset(doubtful)
        it.controller.look()
    assert it.answers == []
