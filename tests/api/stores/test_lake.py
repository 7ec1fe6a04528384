"""What the stores have no more comes from the lake, over every route."""

from pathlib import Path
from typing import Any

import polars as pl
from pymongo import MongoClient

from flows.model import DAY_MS
from flows.settings import Lake as LakeSettings
from flows.settings import Settings
from sinks.dataframes import Frames
from sinks.lake.place import Lake
from sinks.lake.run import LakeChoice, LakeRun
from sinks.mongo.documents import MARKET_DATA
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStore
from tests.fakes.candles import BEGIN
from tests.fakes.interface import Deployment, Interface, interface, stored_candles, trade

SPAN = f"start={BEGIN}&end={BEGIN + DAY_MS}"
ROUTES = (
    f"/api/chart/BTCUSDT/1m?limit=7&end={BEGIN + 8 * 60_000}",
    f"/api/trades?symbol=BTCUSDT&{SPAN}&limit=30",
    f"/api/trades?symbol=BTCUSDT&end={BEGIN + DAY_MS}&limit=30",
    f"/api/bars/BTCUSDT?kind=time&size=7m&{SPAN}",
    f"/api/bars/BTCUSDT?kind=tick&size=5&{SPAN}",
    f"/api/footprint/BTCUSDT/5m?{SPAN}",
    f"/api/export/candles/BTCUSDT/1m?format=json&{SPAN}",
    f"/api/export/trades/BTCUSDT?format=json&{SPAN}",
    f"/api/export/bars/BTCUSDT?format=json&size=5m&{SPAN}",
)


class WithLake(Deployment):
    """A deployment whose settings name a lake."""

    lake: Path

    def settings(self, **options: Any) -> Settings:
        return super().settings(**options).model_copy(update={"lake": LakeSettings(path=str(self.lake))})


async def answers(served: Interface) -> list[Any]:
    found = [await served.data(route) for route in ROUTES]
    found[0] = [{**one, "timestamp": 0} for one in found[0]["candles"]]
    return found


async def test_routes_answer_from_the_lake_what_is_not_stored_any_more(tmp_path: Path, mongod_uri: str) -> None:
    deployment = WithLake(tmp_path, mongod_uri)
    deployment.lake = tmp_path / "lake"
    deployment.store(stored_candles())
    trades = [trade(number, BEGIN + number * 41_000) for number in range(1, 20)]
    deployment.store_trades([*trades, trade(20, BEGIN + DAY_MS + 11 * 60_000)])
    async with interface(deployment) as served:
        expected = await answers(served)
        assert all(expected)

    lake, path = Lake(deployment.lake), deployment.trades_path / "binance"
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        database = client[deployment.database]
        with (
            Frames(deployment.settings().mongo, deployment.trades_path, venue="binance") as frames,
            TradeReader(path) as reader,
            lake.writing(),
        ):
            LakeRun(lake, frames, database, reader, now_ms=None, wall_ms=lambda: 0).run(LakeChoice())
        database[MARKET_DATA].delete_many({"open_time": {"$lt": BEGIN + 5 * 60_000}})
    with TradeStore(path / "part-00") as store:
        store.delete_before("BTCUSDT", BEGIN + 5 * 60_000)
    async with interface(deployment) as served:
        assert await answers(served) == expected

    for series in lake.series():
        pl.DataFrame({"id": [1]}).write_parquet(deployment.lake / series.file("2026-01-01"))
    async with interface(deployment) as served:
        for route in (ROUTES[0], ROUTES[1], ROUTES[6], ROUTES[7]):
            status, answer = await served.get(route)
            assert (status >= 500, "is not what its manifest says" in answer["error"]["message"]) == (True, True)
