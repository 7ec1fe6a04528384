from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from flows.backup.manifest import Manifest
from flows.backup.place import Place, place_of
from flows.backup.take import take_backup
from flows.settings import Mongo, Settings, Trades
from sinks.mongo.dump import LEFT_OUT
from sinks.trades.reader import TradeReader
from tests.fakes.candles import BEGIN, gap
from tests.fakes.interface import Deployment, stored_candles, trade

TRADES = 40


def ignored(_: str, __: int, ___: int) -> None:
    """Progress that is shown to no one."""


class Stores(NamedTuple):
    """The stores of a deployment that is not running."""

    place: Place
    database: Database[dict[str, Any]]

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        """All documents but those that belong to one database."""
        names = sorted(set(self.database.list_collection_names()) - LEFT_OUT)
        return {name: list(self.database[name].find({}, sort=[("_id", 1)])) for name in names}

    def indexes(self) -> dict[str, set[str]]:
        return {name: set(self.database[name].index_information()) for name in self.documents()}

    def trades(self) -> dict[str, pl.DataFrame]:
        assert self.place.trades is not None
        with TradeReader(self.place.trades / "binance") as reader:
            return {symbol: reader.trades(symbol, 0, 2 << 42) for symbol in reader.symbols()}

    @property
    def is_empty(self) -> bool:
        assert self.place.trades is not None
        return not self.place.trades.exists() and self.documents() == {}


@pytest.fixture
def made(mongod_uri: str, tmp_path: Path) -> Iterator[Callable[[str], Stores]]:
    """Makes an empty place of a name."""
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        names = []

        def make(name: str) -> Stores:
            database = f"{name}_{tmp_path.name}"
            names.append(database)
            settings = Settings(
                mongo=Mongo(uri=mongod_uri, database=database), trades=Trades(path=tmp_path / name / "trades")
            )
            return Stores(place_of(settings, tmp_path / name), client[database])

        yield make
        for name in names:
            client.drop_database(name)


@pytest.fixture
def full(made: Callable[[str], Stores], mongod_uri: str) -> Stores:
    """Candles, an incident, a listing and trades."""
    stores = made("full")
    assert stores.place.trades is not None
    deployment = Deployment(stores.place.folder, mongod_uri)
    deployment.database = stores.database.name
    deployment.store([*stored_candles(), gap()])
    deployment.list_instruments("BTCUSDT", "ETHUSDT")
    deployment.store_trades([trade(number, BEGIN + number * 1_000) for number in range(1, TRADES + 1)])
    return stores


@pytest.fixture
def empty(made: Callable[[str], Stores]) -> Stores:
    return made("empty")


@pytest.fixture
def backup(full: Stores, tmp_path: Path) -> tuple[Path, Manifest]:
    """A backup of these stores."""
    to = tmp_path / "backup"
    return to, take_backup(full.place, to, version="1", on_progress=ignored)
