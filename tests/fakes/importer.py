"""The importer in a process of its own, into real stores; and what it left in them."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct
from pymongo import MongoClient

from sinks.trades.reader import TradeReader
from tests.fakes import warm
from tests.fakes.deployment import ROOT
from tests.fakes.warm import WarmProcess

END = 2 << 42


def database_of(folder: Path) -> str:
    """The database of the imports in a folder. The tests of a worker share a server, and some have folders of the same
    name within their own.
    """
    return f"{folder.parent.name}_{folder.name}"


async def started(folder: Path, source: Path | str, mongod_uri: str, **settings: str) -> WarmProcess:
    """Starts the importer, with stores of the folder's own."""
    environment = {
        "MARKETFLOW_FEED__SYMBOLS": '["PEPEUSDT"]',
        "MARKETFLOW_FEED__TIMEFRAMES": '["1m", "3m", "30m", "1d"]',
        "MARKETFLOW_BACKFILL__SOURCE": str(source),
        "MARKETFLOW_BACKFILL__CACHE": str(folder / "archive"),
        "MARKETFLOW_TRADES__PATH": str(folder / "trades"),
        "MARKETFLOW_MONGO__URI": mongod_uri,
        "MARKETFLOW_MONGO__DATABASE": database_of(folder),
        "MARKETFLOW_LOG__FORMAT": "json",
        **{f"MARKETFLOW_{key.upper()}": value for key, value in settings.items()},
    }
    told = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    return await warm.started("bytewax.run", "flows.backfill", cwd=folder, env=told)


async def ended(process: WarmProcess, *, kill_at: str | None = None) -> tuple[int, str]:
    """Its exit code and what it said. It is killed as soon as it says `kill_at`."""
    assert process.stdout is not None
    said = ""
    async for line in process.stdout:
        said += line.decode()
        if kill_at and kill_at in said:
            _kill(process)
            kill_at = None
    return await process.wait(), said


async def imported(
    folder: Path, source: Path | str, mongod_uri: str, *, kill_at: str | None = None, **settings: str
) -> tuple[int, str]:
    """Runs the importer; its exit code and what it said."""
    return await ended(await started(folder, source, mongod_uri, **settings), kill_at=kill_at)


def _kill(process: WarmProcess) -> None:
    if process.returncode is None:
        process.kill()


# --- what is stored ---


def documents(mongod_uri: str, folder: Path) -> list[dict[str, Any]]:
    """All candles that the imports in a folder have stored, but for what differs by the moment of writing."""
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        fields = dict.fromkeys(("_id", "created_at", "updated_at"), 0)
        found = list(client[database_of(folder)]["market_data"].find({}, fields))
    return sorted(found, key=lambda document: (document["symbol"], document["timeframe"], document["open_time"]))


def trades(folder: Path, symbol: str = "PEPEUSDT") -> pl.DataFrame:
    """All stored trades of a symbol."""
    with TradeReader(folder / "trades" / "binance") as reader:
        return reader.trades(symbol, 0, END)


class Stored(Struct, frozen=True):
    """All that an import has left."""

    candles: dict[tuple[str, str, int], dict[str, Any]]
    trades: dict[str, dict[int, tuple[Any, ...]]]
    holes: set[tuple[str, int, int]]
    """Symbol, begin and end of those that the ledger names."""


def stored(folder: Path, mongod_uri: str, symbols: tuple[str, ...]) -> Stored:
    """What the stores of a folder hold."""
    candles = {(d["symbol"], d["timeframe"], d["open_time"]): d for d in documents(mongod_uri, folder)}
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        incidents = client[database_of(folder)]["incidents"].find({"kind": "gap"})
        gaps = {(d["symbol"], d["begin"], d["end"]) for d in incidents}
    rows = {symbol: {row[0]: row for row in trades(folder, symbol).iter_rows()} for symbol in symbols}
    return Stored(candles, rows, gaps)


def differences(calm: Stored, disturbed: Stored) -> list[str]:
    """Each candle, trade and hole that is not the same in both."""
    pairs: list[tuple[str, dict[Any, Any], dict[Any, Any]]] = [("candle", calm.candles, disturbed.candles)]
    pairs += [(f"trade of {symbol}", calm.trades[symbol], disturbed.trades[symbol]) for symbol in calm.trades]
    found = [
        f"{what} {place}: {one.get(place)} became {other.get(place)}"
        for what, one, other in pairs
        for place in sorted(one.keys() | other.keys())
        if one.get(place) != other.get(place)
    ]
    return found + [f"hole {hole}" for hole in sorted(calm.holes ^ disturbed.holes)]


# --- kills ---


class Kills(Struct, frozen=True):
    """What kills have left behind."""

    differing: list[str]
    at_s: list[float]
    """Seconds from the start of a process to each kill."""
    imports: int
    """That were run to their ends after kills, each into stores of its own."""
    undisturbed: Stored
    undisturbed_s: float


async def killed(
    folder: Path,
    source: Path,
    mongod_uri: str,
    *,
    symbols: tuple[str, ...],
    kills: int,
    seed: int,
    on_kill: Callable[[int], object] = lambda _: None,
) -> Kills:
    """Imports a folder once undisturbed, and again with so many kills at any moment of a process, each import being run
    to its end at last: one that is over before all kills are done is followed by another.
    """
    chance, at_s, differing, imports = random.Random(seed), list[float](), list[str](), 0
    calm_folder = _new(folder / "undisturbed")
    begin = time.monotonic()
    code, said = await imported(calm_folder, source, mongod_uri)
    assert code == 0, said
    whole_s = time.monotonic() - begin
    calm = stored(calm_folder, mongod_uri, symbols)
    while len(at_s) < kills:
        disturbed, imports, is_over = _new(folder / f"disturbed{imports}"), imports + 1, False
        while not is_over:
            process, after_s = await started(disturbed, source, mongod_uri), chance.uniform(0, whole_s)
            if len(at_s) < kills:
                asyncio.get_running_loop().call_later(after_s, _kill, process)
            code, said = await ended(process)
            if code == -signal.SIGKILL:
                at_s.append(after_s)
                on_kill(len(at_s))
            else:
                assert code == 0, said
                is_over = True
        differing += differences(calm, stored(disturbed, mongod_uri, symbols))
    return Kills(differing, at_s, imports, calm, whole_s)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
