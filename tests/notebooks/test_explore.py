import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from api.analytics.profile import profile_of
from flows.model import Trade, TradeBatch
from sinks.mongo.store import CandleStore
from sinks.trades.merge import add_batches
from sinks.trades.store import TradeStore
from tests.fakes.candle_runs import wandering
from tests.fakes.candles import BEGIN, gap
from tests.fakes.trade_frames import trade_frame
from tests.fakes.trades import trade

ROOT = Path(__file__).parents[2]
CANDLES = wandering(200)
LAST = 199 * 60_000
"""Begin of the newest candle, after `BEGIN`."""


def trades() -> list[Trade]:
    return [trade(number, number * 10_000, 100.0 + number % 7, sold=number % 3 == 0) for number in range(1, 601)]


@pytest.fixture
def environment(mongo_database: Database[dict[str, Any]], mongod_uri: str, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MARKETFLOW_MONGO__URI": mongod_uri,
        "MARKETFLOW_MONGO__DATABASE": mongo_database.name,
        "MARKETFLOW_TRADES__PATH": str(tmp_path),
    }


def run(environment: dict[str, str]) -> str:
    """What the notebook prints as a script."""
    done = subprocess.run(
        [sys.executable, "notebooks/explore.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.e2e
def test_as_a_script_it_prints_what_is_stored(
    mongo_database: Database[dict[str, Any]], environment: dict[str, str], tmp_path: Path
) -> None:
    store = CandleStore(mongo_database, retention_days={})
    store.ensure_indexes(timeout_s=5)
    store.store([*CANDLES, gap(begin=BEGIN + 60_000)], timeout_s=5)
    with TradeStore(tmp_path / "binance" / "part-00") as partition:
        add_batches(partition, [TradeBatch("binance", "BTCUSDT", trades())])

        said = run(environment)

    profile = profile_of(trade_frame(trades()), bins=80)
    assert "BTCUSDT 1m: 200 candles" in said
    assert f"POC {profile.poc:g}, VAH {profile.vah:g}, VAL {profile.val:g} of 600 trades" in said
    assert "trades stored: 100.0000%" in said
    assert "final" in said
    assert "gap" in said
    assert "next_candle" in said
    assert "Nothing is stored" not in said


@pytest.mark.e2e
def test_without_trades_the_rest_is_printed(
    mongo_database: Database[dict[str, Any]], environment: dict[str, str]
) -> None:
    store = CandleStore(mongo_database, retention_days={})
    store.ensure_indexes(timeout_s=5)
    store.store(CANDLES, timeout_s=5)

    said = run(environment)

    assert "BTCUSDT 1m: 200 candles" in said
    assert "POC" not in said


@pytest.mark.e2e
def test_empty_stores_are_reported_as_empty(environment: dict[str, str]) -> None:
    assert "Nothing is stored yet" in run(environment)


@pytest.mark.e2e
def test_without_a_database_it_names_what_to_start(environment: dict[str, str]) -> None:
    said = run({**environment, "MARKETFLOW_MONGO__URI": "mongodb://127.0.0.1:1"})
    assert "Nothing can be read.** the database does not answer (127.0.0.1:1" in said
    assert "start the deployment with marketflow run" in said
