"""The bus with whole processes: what a flow that is killed publishes, and clients that go from node to node."""

from collections import Counter
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from flows.recovery import prepare
from sinks.bus.subjects import channel_of
from sources.replay.exchange.threaded import exchange_in_thread
from tests.e2e.test_crash import SPEED, tape
from tests.fakes.deployment import START_S, flow_settings, hub_client, running_flow, running_interface
from tests.fakes.nats import bus, needs_nats, running_nats, stored
from tests.fakes.several_venues import until
from tests.fakes.twins import SYMBOLS, compared, differences, recovering, settings_for

pytestmark = [pytest.mark.e2e, needs_nats]

KILLS = 3


async def test_what_a_flow_that_is_killed_publishes_is_in_the_stream_once(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "bus"
    with running_nats(tmp_path) as server:
        calm, killed = await compared(
            folder, mongod_uri, tape(loop=True), speed=SPEED, kills=KILLS, bus__url=server.url, bus__duplicate_s=1
        )
        found = await stored(bus(server))
    assert not differences(calm, killed)

    messages = [(channel_of(one.subject), msgspec.json.decode(one.body)["data"]) for one in found]
    for symbol, frame in killed[1].items():
        bodies = [data for channel, data in messages if channel == "Trade" and data["symbol"] == symbol]
        ids = [row["id"] for data in bodies for row in data["trades"]]
        assert sorted(ids) == frame["id"].to_list()
        in_order = [row["id"] for data in bodies if not data["late"] for row in data["trades"]]
        assert in_order == sorted(in_order)
        values = {row["id"]: (row["price"], row["quantity"]) for data in bodies for row in data["trades"]}
        assert values == {row["id"]: (row["price"], row["quantity"]) for row in frame.iter_rows(named=True)}

    versions: Counter[tuple[Any, ...]] = Counter()
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for channel, data in messages:
        if channel == "ChartUpdate":
            key = data["symbol"], data["timeframe"], data["candle"]["timestamp"]
            versions[*key, msgspec.json.encode(data["candle"])] += 1
            newest[key] = data["candle"]
    assert set(versions.values()) == {1}
    begin = min(frame["time"][0] for frame in killed[1].values())
    closed = [one for one in killed[0] if one["is_closed"] and one["open_time"] >= begin]
    assert closed
    for one in closed:
        published = newest[one["symbol"], one["timeframe"], one["open_time"]]
        names = ("open", "high", "low", "close", "volume", "status", "revision")
        assert {name: published[name] for name in names} == {name: one[name] for name in names}


def ids(messages: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["symbol"], row["id"]) for one in messages for row in one["trades"]]


async def test_a_client_goes_from_interface_to_interface_while_the_flow_is_killed(
    mongod_uri: str, tmp_path: Path
) -> None:
    flow_folder, *folders = (tmp_path / name for name in ("flow", "one", "other"))
    for folder in (flow_folder, *folders):
        folder.mkdir()
    prepare(flow_folder / "recovery")
    with running_nats(tmp_path) as server, exchange_in_thread(tape(loop=True), speed=SPEED, start_now=True) as exchange:
        of_bus = {"bus__url": server.url}
        settings = settings_for(flow_folder, exchange, mongod_uri) | of_bus
        node = flow_settings(flow_folder, exchange.rest_url, mongod_uri, trades__enabled=False, **of_bus)
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(running_interface(folder, **node)) for folder in folders]
            gateways = [f"ws://127.0.0.1:{one.port}/ws" for one in nodes]
            heard: list[dict[str, Any]] = []
            for life in range(3):
                async with running_flow(flow_folder, *recovering(flow_folder), **settings) as flow:
                    if not heard:
                        await until(lambda: all(is_ready(one.url) for one in nodes), flow)
                    after = f"&resume_after={heard[-1]['seq']}" if heard else ""
                    async with hub_client(f"{gateways[life % 2]}?channels=Trade{after}") as client:
                        for _ in range(20):
                            await client.until(lambda message: message["type"] == "Trade")
                        await flow.kill()
                        heard += client.messages
            assert {one["type"] for one in heard} == {"Trade"}
            numbers = [one["seq"] for one in heard]
            assert numbers == sorted(set(numbers))
            assert hub_urls(nodes[0].url) == ["/ws"]
        published = await stored(bus(server))
    last = heard[-1]["seq"]
    expected = [msgspec.json.decode(one.body)["data"] for one in published if channel_of(one.subject) == "Trade"]
    between = [
        one.seq for one in published if channel_of(one.subject) == "Trade" and heard[0]["seq"] <= one.seq <= last
    ]
    assert numbers == between
    begin = next(number for number, one in enumerate(expected) if ids([one]) == ids([heard[0]["data"]]))
    assert [one["data"] for one in heard] == expected[begin : begin + len(heard)]
    for symbol in SYMBOLS:
        of_symbol = [number for name, number in ids([one["data"] for one in heard]) if name == symbol]
        assert len(of_symbol) == len(set(of_symbol))


def is_ready(url: str) -> bool:
    return httpx.get(f"{url}/health/ready", timeout=START_S).status_code == HTTPStatus.OK


def hub_urls(url: str) -> Any:
    return httpx.get(f"{url}/api/status", timeout=START_S).json()["data"]["hub_urls"]
