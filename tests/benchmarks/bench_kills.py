"""A deployment under load whose processes are killed one after another, beside one that is left alone: how long each
takes to come back, and what the stores hold at the end.

Both have an exchange of their own with the same market, which goes on where it would be when its exchange is killed.
"""

import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from flows.clock import wall_ms
from flows.settings import Settings
from tests.benchmarks.rows import Row
from tests.fakes.demo import FOLDER, Demo, running_demo
from tests.fakes.twins import candles_of, trades_of

KILLS = 10
"""Of each process."""
ROUND_S = 36.0
"""Least time between two kills of a process: a life of 30 s makes the next wait the first one again."""
TRADES_PER_S = 100
"""Of each of the two symbols."""
GOAL_S = 5.0
MINUTE_MS = 60_000
MOST_SAID = 10
_DATABASE = Settings().mongo.database


def trades_come(demo: Demo, after_ms: int) -> bool:
    """Whether the hub tells of a trade that was made after a time."""
    try:
        with connect(f"ws://127.0.0.1:{demo.port('HUB')}/ws?channels=Trade", open_timeout=2) as hub:
            while True:
                message = msgspec.json.decode(hub.recv(timeout=2))
                if message["type"] == "Trade" and message["data"]["trades"][-1]["timestamp"] > after_ms:
                    return True
    except (OSError, TimeoutError, WebSocketException):
        return False


def is_ready(demo: Demo, _: int) -> bool:
    """Whether the interface says that all is there and current."""
    return demo.is_ready()


def candles_are_written(demo: Demo, after_ms: int) -> bool:
    """Whether a candle was written after a time."""
    try:
        with MongoClient[dict[str, Any]](_uri(demo), timeoutMS=1_000, serverSelectionTimeoutMS=500) as client:
            newest = client[_DATABASE]["market_data"].find_one({}, {"updated_at": 1}, sort=[("updated_at", -1)])
    except PyMongoError:
        return False
    return newest is not None and newest["updated_at"].timestamp() * 1_000 > after_ms


def _uri(demo: Demo) -> str:
    return demo.variables["MARKETFLOW_MONGO__URI"]


BACK: dict[str, tuple[Callable[[Demo, int], bool], str]] = {
    "flow": (trades_come, "trades come"),
    "api": (is_ready, "it is ready"),
    "exchange": (trades_come, "trades come"),
    "mongod": (candles_are_written, "candles are written"),
}
"""By process, in the order of the kills, when it is back, and how that is called."""


def back_s(demo: Demo, name: str) -> float:
    """Seconds from the kill of a process until it is back."""
    killed = demo.pid_of(name)
    begin_s, begin_ms = time.monotonic(), wall_ms()
    os.kill(killed, signal.SIGKILL)
    is_back, _ = BACK[name]
    demo.until(lambda: demo.pid_of(name) != killed and is_back(demo, begin_ms))
    return time.monotonic() - begin_s


def killed_in_turn(demo: Demo, kills: int) -> dict[str, list[float]]:
    """Seconds by process, of so many kills of each."""
    seconds: dict[str, list[float]] = {name: [] for name in BACK}
    for number in range(kills):
        for name in BACK:
            due_s = time.monotonic() + ROUND_S / len(BACK)
            seconds[name].append(back_s(demo, name))
            _say(f"\r  kill {number + 1} of {kills} of each: {name} {seconds[name][-1]:.1f} s   ")
            time.sleep(max(0.0, due_s - time.monotonic()))
    return seconds


def is_proven(demo: Demo, end_ms: int) -> bool:
    """Whether every candle that closed before a time has its proof, and later ones are closed."""
    closed = [one for one in candles_of(_uri(demo), _DATABASE) if one["is_closed"]]
    is_past = any(one["open_time"] >= end_ms for one in closed)
    return is_past and all(one["proof"] or one["status"] == "venue" for one in closed if one["close_time"] < end_ms)


def differences(calm: Demo, killed: Demo, end_ms: int) -> list[tuple[Any, ...]]:
    """What the stores do not say alike, of the time from the first minute that both have seen whole to an end."""
    traded = [trades_of(demo.at / FOLDER) for demo in (calm, killed)]
    begin_ms = max(frame["time"][0] for frames in traded for frame in frames.values()) // MINUTE_MS * MINUTE_MS
    begin_ms += MINUTE_MS
    found: list[tuple[Any, ...]] = []
    for symbol in sorted({*traded[0], *traded[1]}):
        ours, theirs = (
            frames[symbol].filter(pl.col("time").is_between(begin_ms, end_ms, closed="left")) for frames in traded
        )
        for one, other, word in ((ours, theirs, "missing"), (theirs, ours, "superfluous")):
            found += [(symbol, row, word) for row in one.join(other, on=one.columns, how="anti").rows()]
        if ours.height != theirs.height or not ours.height:
            found.append((symbol, "trades", ours.height, theirs.height))
    expected, stored = (_closed(demo, begin_ms, end_ms) for demo in (calm, killed))
    if not expected:
        found.append(("no candles",))
    found += [(key, "not in both") for key in expected.keys() ^ stored.keys()]
    for key in expected.keys() & stored.keys():
        fields = [name for name in expected[key] if expected[key][name] != stored[key].get(name)]
        found += [(key, name, expected[key][name], stored[key].get(name)) for name in fields]
    return found


def _closed(demo: Demo, begin_ms: int, end_ms: int) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {
        (one["symbol"], one["timeframe"], one["open_time"]): one
        for one in candles_of(_uri(demo), _DATABASE)
        if one["is_closed"] and one["open_time"] >= begin_ms and one["close_time"] < end_ms
    }


def measure(folder: Path, kills: int = KILLS) -> tuple[dict[str, list[float]], list[tuple[Any, ...]]]:
    """The seconds of all kills, and the differences afterwards."""
    paths = [folder / name for name in ("calm", "killed")]
    for path in paths:
        path.mkdir()
    exchange = ("--trades-per-s", str(TRADES_PER_S), "--begin", str(wall_ms()))
    with running_demo(paths[0], exchange=exchange) as calm, running_demo(paths[1], exchange=exchange) as killed:
        for demo in (calm, killed):
            demo.until_ready()
        time.sleep(ROUND_S)
        seconds = killed_in_turn(killed, kills)
        end_ms = (wall_ms() // MINUTE_MS + 1) * MINUTE_MS
        for demo in (calm, killed):
            demo.until(lambda demo=demo: is_proven(demo, end_ms))  # type: ignore[misc]
        return seconds, differences(calm, killed, end_ms)


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)  # noqa: T201 - progress of minutes of work


def run() -> list[Row]:
    """All kills; it takes eight minutes."""
    with tempfile.TemporaryDirectory() as name:
        seconds, found = measure(Path(name))
    _say("\n" + "".join(f"    {difference}\n" for difference in found[:MOST_SAID]))
    rows = [
        Row(
            f"{KILLS} kills of {name} under load",
            f"s until {BACK[name][1]}, the longest",
            f"{statistics.median(values):.1f} s in the median",
            max(values),
            GOAL_S,
            True,
        )
        for name, values in seconds.items()
    ]
    what = f"after {KILLS} kills of each process"
    return [*rows, Row(what, "candles and trades that differ", "a deployment left alone", len(found), 0, True)]
