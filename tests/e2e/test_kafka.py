"""Kafka with whole processes: a flow publishes the raw frames of an exchange, others read them and publish results."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sources.replay.exchange.threaded import ThreadedExchange
from tests.e2e.test_crash import SPEED, tape
from tests.fakes.deployment import START_S, running_flow
from tests.fakes.kafka import running_broker
from tests.fakes.twins import candles_of, compared, differences, settings_for, trades_of

pytestmark = pytest.mark.e2e

WORKERS = ("1", "2", "1")


async def test_a_flow_of_topics_that_is_killed_has_what_the_live_one_has_and_so_has_one_that_reads_all_again(
    mongod_uri: str, tmp_path: Path
) -> None:
    folder, again = tmp_path / "kafka", tmp_path / "again"
    again.mkdir()
    with running_broker() as broker:
        kafka: dict[str, Any] = {"kafka__brokers": [broker.address]}

        async def read_again(exchange: ThreadedExchange) -> None:
            settings = settings_for(again, exchange, mongod_uri) | kafka
            settings |= {"kafka__read_frames": True, "kafka__publish": [], "kafka__stop_at_end": True}
            async with running_flow(again, **settings) as flow:
                code = await asyncio.wait_for(flow._process.wait(), START_S)
            assert code == 0, flow.said()

        live, killed = await compared(
            folder, mongod_uri, tape(loop=True), speed=SPEED, kills=len(WORKERS) - 1,
            flags=lambda life: ("-w", WORKERS[life]), at_end=read_again,
            of_calm=kafka | {"kafka__publish": ["frames"]}, **kafka | {"kafka__read_frames": True},
        )  # fmt: skip
        topics = {kind: broker.stored(f"marketflow.{kind}") for kind in ("trades", "candles")}
    assert not differences(live, killed)
    begin = min(frame["time"][0] for frame in killed[1].values())
    read_later = differences(live, (candles_of(mongod_uri, again.name), trades_of(again)))
    assert not [one for one in read_later if not is_of_another_source(one, begin)]

    for symbol, frame in killed[1].items():
        of_symbol = [one for one in topics["trades"] if one.key == f"binance:{symbol}".encode()]
        assert len({one.partition for one in of_symbol}) == 1
        messages = [body(one.value)["data"]["trades"] for one in of_symbol]
        newest, seen = 0, []
        for trades in messages:  # as a consumer does: what it has already is left out
            seen += [row["id"] for row in trades if row["id"] > newest]
            newest = max(newest, trades[-1]["id"])
        assert seen == frame["id"].to_list()
    newest_of: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in topics["candles"]:
        candle = body(one.value)["data"]
        key = candle["symbol"], candle["timeframe"], candle["candle"]["timestamp"]
        if key not in newest_of or newest_of[key]["revision"] <= candle["candle"]["revision"]:
            newest_of[key] = candle["candle"]
    closed = [row for row in killed[0] if row["is_closed"] and row["open_time"] >= begin]
    assert closed
    for row in closed:
        published = newest_of[row["symbol"], row["timeframe"], row["open_time"]]
        names = ("open", "high", "low", "close", "volume", "status", "revision")
        assert {name: published[name] for name in names} == {name: row[name] for name in names}


def is_of_another_source(difference: tuple[Any, ...], begin: int) -> bool:
    """Of candles that began before the first frame the exchange's own are at hand later; their values are the same."""
    key, field, *_ = difference
    return field in ("status", "proof") and key[2] < begin


def body(value: bytes | None) -> Any:
    assert value
    return msgspec.json.decode(value)
