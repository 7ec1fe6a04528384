from pathlib import Path
from typing import Any

from pymongo.database import Database

from flows.dataframes import open_frames
from flows.settings import Feed, Mongo, Settings, Trades
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
