"""Accounts in a real mongod: newest versions, totals, exact decimals, and frames of them."""

from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128
from msgspec.structs import replace
from pymongo import MongoClient
from structlog.testing import capture_logs

from flows.model import AccountRecord, AccountState, Balance
from flows.settings import Mongo
from sinks.account_frames import account_totals, balances, positions
from sinks.dataframes import Frames
from sinks.mongo.accounts import ACCOUNT, ACCOUNT_HISTORY, account_item_of, account_total_of
from sinks.mongo.buffer import CandleBuffer
from sinks.mongo.documents import DocumentError
from sinks.mongo.store import CandleStore
from tests.fakes.accounts import BALANCE, BEGIN, LABEL, POSITION, STATE, TOTAL

DAY_MS = 86_400_000
DAYS = 36_500
"""So long that the database deletes nothing meanwhile."""
LATER = replace(BALANCE, free=Decimal("0.10"), total=Decimal("1.60"), event_time=BEGIN + 1)
NOTHING = replace(POSITION, quantity=Decimal(0), event_time=BEGIN + 1)


@pytest.fixture
def database(mongo_client: MongoClient[dict[str, Any]], request: pytest.FixtureRequest) -> Any:
    name = f"accounts_{request.node.name[:30]}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


def test_a_record_that_is_no_document_holds_up_nothing_and_is_not_in_the_log(database: Any) -> None:
    store = CandleStore(database, retention_days={})
    store.ensure_indexes(timeout_s=60)
    long = replace(BALANCE, asset="LONG", free=Decimal("1." + "7" * 40))
    with capture_logs() as logs:
        assert store.store([long, BALANCE], timeout_s=60).records == 1
    assert account_item_of(database[ACCOUNT].find_one()) == BALANCE
    [line] = logs
    assert (line["event"], line["item"]) == ("unencodable_item_dropped", "Balance")
    assert "777" not in str(line)
    assert "LONG" not in str(line)


def test_the_newest_version_of_each_is_stored_exactly_and_totals_are_kept(
    database: Any, mongod_uri: str, tmp_path: Any
) -> None:
    store = CandleStore(database, retention_days={}, history_days=DAYS)
    store.ensure_indexes(timeout_s=60)
    first: list[AccountRecord] = [STATE, BALANCE, POSITION, TOTAL]
    assert store.store(first, timeout_s=60).records == 4
    assert store.store([LATER], timeout_s=60).records == 1
    older = store.store([BALANCE, TOTAL], timeout_s=60)
    assert (older.records, older.already_newer) == (1, 1)

    anew = replace(STATE, state="connecting", event_time=0)
    assert store.store([anew], timeout_s=60).records == 1, "a new process knows no time of the venue yet"
    assert database[ACCOUNT].find_one({"kind": "state"})["state"] == "connecting"
    assert store.missing([STATE], timeout_s=60)[0] == [STATE]
    assert store.store([STATE], timeout_s=60).records == 1

    documents = list(database[ACCOUNT].find())
    assert sorted((one["kind"], one["name"]) for one in documents) == [
        ("balance", "XQZ"), ("position", "BTCUSDT SHORT"), ("state", "")
    ]  # fmt: skip
    assert {account_item_of(one) for one in documents} == {STATE, LATER, POSITION}
    stored = database[ACCOUNT].find_one({"kind": "balance"})
    assert stored["free"] == Decimal128("0.10")
    assert stored["expires_at"] is None
    [total] = database[ACCOUNT_HISTORY].find()
    assert account_total_of(total) == TOTAL
    assert total["expires_at"].timestamp() * 1_000 == BEGIN + DAYS * DAY_MS

    missing, became = store.missing([BALANCE, LATER, POSITION, TOTAL, NOTHING], timeout_s=60)
    assert missing == [NOTHING]
    assert (became.records, became.already_newer) == (3, 1)
    store.store([NOTHING], timeout_s=60)
    assert database[ACCOUNT].find_one({"kind": "position"})["expires_at"] is not None

    address = Mongo(uri=mongod_uri, database=database.name)
    with Frames(address, tmp_path, venue="binance") as frames:
        assert account_totals(frames).select("account", "total", "unrealised_pnl").rows() == [(LABEL, 1234.56, -0.5)]
        assert account_totals(frames, account="other").is_empty()
        assert balances(frames).select("asset", "total").rows() == [("XQZ", 1.6)]
        assert positions(frames).is_empty()
        store.store([replace(NOTHING, quantity=Decimal("0.5"), event_time=BEGIN + 2)], timeout_s=60)
        assert positions(frames, account=LABEL).select("symbol", "side", "quantity").rows() == [
            ("BTCUSDT", "SHORT", 0.5)
        ]


@pytest.mark.parametrize("document", [{}, {"kind": "wish"}, {"kind": "balance", "venue": "binance"}])
def test_what_is_no_account_is_named(document: dict[str, Any]) -> None:
    with pytest.raises(DocumentError, match="account"):
        account_item_of(document)
    with pytest.raises(DocumentError, match="account_history"):
        account_total_of(document)


def computed(value: str) -> Balance:
    return replace(BALANCE, value=Decimal(value), quote="USDT", is_computed=True)


def test_versions_that_only_the_price_makes_wait_together_and_replace_each_other() -> None:
    buffer = CandleBuffer(capacity=100, forming_ms=1_000, local_ms=lambda: 0)
    buffer.put([computed("1"), computed("2")])
    assert buffer.take(most=10) == [computed("2")], "the first time is due at once"
    buffer.put([computed("3"), STATE])
    assert buffer.take(most=10) == [STATE]
    assert buffer.lasting() == [STATE], "what the price makes needs not outlast the process"
    buffer.put([BALANCE, computed("4"), LATER])
    assert buffer.take(most=10) == [LATER], "one version of a balance is written at a time"


def test_what_could_not_be_written_does_not_replace_what_came_meanwhile() -> None:
    buffer = CandleBuffer(capacity=100, forming_ms=1_000, local_ms=lambda: 0)
    newer = AccountState("binance", LABEL, "stale", BEGIN + 1, "silent", 0, BEGIN)
    buffer.put([STATE, BALANCE])
    taken = buffer.take(most=10)
    buffer.put([newer, computed("5")])
    buffer.put_back(taken)
    assert buffer.take(most=10) == [computed("5"), newer]
