"""The rules that a flow watches: those of the settings, those of MongoDB, and what is known to have fired."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient
from pymongo.database import Database
from structlog.testing import capture_logs

from flows.model import ListedInstrument
from flows.model.alerts import AlertRule, LastAlert, RuleBook
from flows.runtime.alerts import AlertRuntime, StoredRules
from flows.settings import Alerts, Mongo, Settings, SettingsError, Trades, VenueFeed
from flows.settings.feed import VenueName
from flows.spellings import Catalogue
from sinks.alerts.outbox import Outbox
from sinks.mongo.alerts import ALERTS
from tests.fakes.alerts import PATIENCE_S, alert

OWN = AlertRule("own", "gap")


def until(rules: StoredRules, *names: str) -> RuleBook:
    """The book as soon as it has these rules."""
    end = time.monotonic() + PATIENCE_S
    while [one.rule.id for one in rules().rules] != list(names):
        assert time.monotonic() < end, rules()
        time.sleep(0.02)
    return rules()


def insert(database: Database[dict[str, Any]], name: str, created: int, **terms: Any) -> None:
    database[ALERTS].insert_one({"_id": name, "created_at": DatetimeMS(created), **terms})


def test_rules_of_the_settings_alone_are_complete_at_once() -> None:
    rules = StoredRules((OWN,), {}, None)
    rules.start()
    assert ([one.rule for one in rules().rules], rules().is_complete) == ([OWN], True)
    assert rules() is rules()


def test_stored_rules_come_and_go_without_a_restart(mongo_database: Database[dict[str, Any]]) -> None:
    insert(mongo_database, "first", 5, kind="silence", symbol="BTCUSDT")
    rules = StoredRules((OWN,), {}, mongo_database)
    assert not rules().is_complete
    rules.start()
    book = until(rules, "own", "first")
    assert book.is_complete
    assert (book.rules[1].since, book.rules[1].rule.is_stored) == (5, True)
    insert(mongo_database, "second", 6, kind="gap")
    until(rules, "own", "first", "second")
    mongo_database[ALERTS].delete_one({"_id": "first"})
    until(rules, "own", "second")


def test_one_that_cannot_be_read_is_named_once_and_the_others_are_watched(
    mongo_database: Database[dict[str, Any]],
) -> None:
    insert(mongo_database, "odd", 4, kind="nonsense")
    insert(mongo_database, "first", 5, kind="gap")
    rules = StoredRules((), {}, mongo_database)
    with capture_logs() as logs:
        assert rules._look()
        assert rules._look()
    assert [one.rule.id for one in rules().rules] == ["first"]
    assert len([line for line in logs if line["log_level"] == "error"]) == 1


def test_without_the_server_stored_rules_are_not_known() -> None:
    with MongoClient[dict[str, Any]]("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=50) as client:
        rules = StoredRules((OWN,), {}, client["x"])
        assert not rules._look()
        assert ([one.rule for one in rules().rules], rules().is_complete) == ([OWN], False)


def settings_in(folder: Path, *, venues: Sequence[VenueName] = (), **alerts: Any) -> Settings:
    return Settings(
        trades=Trades(path=folder / "trades"),
        mongo=Mongo(enabled=False),
        alerts=Alerts(**alerts),
        venues={name: VenueFeed() for name in venues},
    )


def test_what_has_fired_before_is_known_at_the_start(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "alerts")
    outbox.add([alert(1), alert(2)], now_ms=1, waits=False)
    outbox.close()
    terms = {"kind": "price_above", "venue": "binance", "symbol": "BTCUSDT", "price": 100.0, "rearm": "on_return"}
    runtime = AlertRuntime(settings_in(tmp_path, rules={"high": terms}), None, lambda _: None)
    catalogue = Catalogue()
    catalogue.put("kraken", [ListedInstrument("kraken", "BTC-USD", "TRADING", "BTC", "USD")])
    parts = runtime.parts("kraken", catalogue)
    assert (parts.own_name("BTCUSD"), parts.own_name("X"), parts.own_name("a b")) == ("BTC-USD", "X", "a b")
    assert parts.fresh_ms == 5_000
    [watched] = parts.rules().at("binance", "BTCUSDT")
    assert watched.last == LastAlert(alert(2).rule, alert(2).since, 2, alert(2).time)
    assert watched.since == alert(2).since
    with pytest.raises(SettingsError, match=r"alerts\.path"):
        AlertRuntime(settings_in(tmp_path, enabled=True), None, lambda _: None)
    runtime.writer.close()


@pytest.mark.parametrize(
    ("venue", "symbol", "silent", "is_named"),
    [
        ("", "BTC/USD", False, False),
        ("", "BTCUSDT", False, False),
        ("", "BTCUSTD", False, True),
        ("", "BTCUSTD", True, False),
        ("kraken", "BTCUSDT", False, True),
        ("kraken", "BTCUSDT", True, True),
        ("binance", "BTCUSTD", True, False),
    ],
)
def test_a_rule_of_what_no_venue_lists_is_named(
    tmp_path: Path, venue: str, symbol: str, *, silent: bool, is_named: bool
) -> None:
    terms = {"kind": "price_above", "venue": venue, "symbol": symbol, "price": 1.0}
    chosen = settings_in(tmp_path, rules={"x": terms, "all": {"kind": "gap"}}, venues=["binance", "kraken"])
    runtime = AlertRuntime(chosen, None, lambda _: None)
    with capture_logs() as logs:
        runtime.name_unlisted(
            {
                "binance": None if silent else [ListedInstrument("binance", "BTCUSDT", "TRADING", "BTC", "USDT")],
                "kraken": [ListedInstrument("kraken", "BTC-USD", "TRADING", "BTC", "USD")],
            }
        )
    runtime.writer.close()
    assert [line["rule"] for line in logs if line["log_level"] == "warning"] == ["x"] * is_named
