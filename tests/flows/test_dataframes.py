from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from flows.dataframes import open_frames, settings_of
from flows.settings import Feed, Mongo, Settings, Trades
from flows.supervision.deployment import demo_environment, variables_of
from flows.supervision.known import UnknownDeploymentError, remember
from sinks.mongo.store import CandleStore
from tests.fakes.candles import candle


def test_the_stores_and_the_venue_are_those_of_the_settings(
    mongo_database: Database[dict[str, Any]], mongod_uri: str, tmp_path: Path
) -> None:
    settings = Settings(
        feed=Feed(venue="binance-usdm"),
        mongo=Mongo(uri=mongod_uri, database=mongo_database.name),
        trades=Trades(path=tmp_path),
    )
    CandleStore(mongo_database, retention_days={}).store([candle(0, venue="binance-usdm")], timeout_s=5)

    with open_frames(settings) as frames, open_frames(settings, venue="binance") as spot:
        assert frames.candle_symbols() == ["BTCUSDT"]
        assert spot.candle_symbols() == []
        assert (frames.venue, frames.trades_path) == ("binance-usdm", tmp_path)


def test_the_settings_of_a_deployment_are_those_it_was_started_with(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with pytest.raises(UnknownDeploymentError):
        settings_of(folder)
    started = Settings()
    remember(folder, variables_of(started, demo_environment(started, folder, mongo_port=27_555)))
    settings = settings_of(str(folder))
    assert (settings.mongo.uri, settings.trades.path) == ("mongodb://127.0.0.1:27555", folder / "trades")
    assert (settings.feed.origin, settings.api.port) == ("synthetic", started.api.port)
    assert {venue: feed.symbols for venue, feed in settings.by_venue.items()} == {
        "binance": ("BTCUSDT", "ETHUSDT"), "coinbase": ("BTC-USD", "ETH-USD"), "kraken": ("BTC-USD", "ETH-USD"),
    }  # fmt: skip
