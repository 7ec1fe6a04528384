"""Alerts and their rules in MongoDB."""

from datetime import UTC, datetime
from math import inf, nan
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import AsyncMongoClient
from pymongo.database import Database

from flows.clock import wall_ms
from flows.model import DAY_MS
from flows.model.alerts import Alert, AlertRule, PricePoint
from sinks.mongo.alerts import (
    ALERT_HISTORY,
    ALERTS,
    KEPT_DAYS,
    AlertClient,
    StoredRule,
    alert_document,
    alert_of,
    read_rules,
    rule_of,
)
from sinks.mongo.buffer import CandleBuffer
from sinks.mongo.documents import DocumentError
from sinks.mongo.store import CandleStore
from tests.fakes.alerts import BEGIN, alert
from tests.fakes.candles import candle

Documents = Database[dict[str, Any]]
TIMEOUT_S = 20.0
CHANGE = Alert(
    "fast-1-x", AlertRule("fast", "price_change", "kraken", "BTC-USD", percent=5.0, span_s=60.0, is_stored=True),
    "kraken", "BTC-USD", 1, BEGIN, BEGIN + 5, PricePoint(105.5, 2**40, BEGIN + 5), PricePoint(100.0, 3, BEGIN), 5.5,
)  # fmt: skip
STATE = Alert("out-1-x", AlertRule("out", "store_outage"), "kraken", "", 1, BEGIN, 0, state="not stored", reason="why")


@pytest.mark.parametrize("one", [alert(), CHANGE, STATE])
def test_an_alert_is_stored_once_and_read_back(mongo_database: Documents, one: Alert) -> None:
    store = CandleStore(mongo_database, retention_days={})
    store.ensure_indexes(timeout_s=TIMEOUT_S)
    assert store.missing([one], timeout_s=TIMEOUT_S)[0] == [one]
    before = wall_ms()
    assert store.store([one, candle()], timeout_s=TIMEOUT_S).records == 1
    [document] = mongo_database[ALERT_HISTORY].find()
    found = alert_of(document)
    assert (found.alert, before <= found.created_ms <= wall_ms()) == (one, True)
    store.store([one], timeout_s=TIMEOUT_S)
    assert list(mongo_database[ALERT_HISTORY].find()) == [document]
    assert store.missing([one], timeout_s=TIMEOUT_S)[0] == []


BEGIN_AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_document_of_an_alert_names_what_is_searched_for_and_ends_some_day() -> None:
    document = alert_document(alert(3), now_ms=5)
    assert {name: document[name] for name in ("_id", "rule", "kind", "venue", "symbol", "number")} == {
        "_id": alert(3).id, "rule": "high", "kind": "price_above", "venue": "binance", "symbol": "BTCUSDT", "number": 3,
    }  # fmt: skip
    assert (document["created_at"], document["expires_at"]) == (DatetimeMS(5), DatetimeMS(5 + KEPT_DAYS * DAY_MS))


def test_alerts_wait_for_the_server_like_candles_and_count_when_they_are_lost() -> None:
    buffer = CandleBuffer(capacity=2, forming_ms=1_000)
    buffer.put([alert(1), alert(2), alert(1), alert(3)])
    assert buffer.lasting() == [alert(2), alert(3)]
    [loss] = buffer.take_losses()
    assert (loss.venue, loss.symbol, loss.records, loss.candles, loss.incidents) == ("binance", "BTCUSDT", 1, 0, 0)


def test_a_document_that_is_none_is_named() -> None:
    with pytest.raises(DocumentError, match=f"document x of {ALERT_HISTORY} cannot be read"):
        alert_of({"_id": "x", "alert": {"id": "x"}, "created_at": DatetimeMS(1)})
    with pytest.raises(DocumentError, match=f"document y of {ALERTS} cannot be read"):
        rule_of({"_id": "y", "kind": "price_above", "price": "high"})
    terms = {"_id": "z", "kind": "price_above", "symbol": "BTCUSDT", "price": 1.0, "created_at": BEGIN_AT}
    assert rule_of(terms).rule.price == 1.0
    for wrong in ({"price": None}, {"price": nan}, {"symbol": ""}, {"rearm": "after", "rearm_s": inf}, {"for_s": 1.0}):
        with pytest.raises(DocumentError, match=f"document z of {ALERTS} cannot be read"):
            rule_of(terms | wrong)


async def test_the_flow_reads_the_rules_that_the_interface_makes(mongo_database: Documents, mongod_uri: str) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongod_uri, tz_aware=True) as client:
        alerts = AlertClient(client[mongo_database.name])
        assert read_rules(mongo_database, pytest.fail) == []
        gap = AlertRule("any", "gap", "binance", "BTCUSDT", rearm="after", rearm_s=60.0, is_stored=True)
        first = await alerts.add(gap)
        assert first.rule == AlertRule(
            first.rule.id, "gap", "binance", "BTCUSDT", rearm="after", rearm_s=60.0, is_stored=True
        )
        assert await alerts.add(gap) == first
        second = await alerts.add(AlertRule("any", "price_change", percent=2.5, span_s=60.0, is_stored=True))
        assert read_rules(mongo_database, pytest.fail) == [first, second] == await alerts.rules()
        assert await alerts.count() == 2
        assert await alerts.remove(first.rule.id) == first
        assert await alerts.remove(first.rule.id) is None
        assert read_rules(mongo_database, pytest.fail) == [StoredRule(second.rule, second.created_ms)]
