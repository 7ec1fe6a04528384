import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st

from api.deadman.alarm import News
from api.deadman.receiver import Receiver, is_watchdog

FIRES = {"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "Watchdog"}}]}


@asynccontextmanager
async def receiving(after_s: float, said: "asyncio.Queue[News]") -> AsyncIterator[str]:
    receiver = Receiver(after_s=after_s, repeat_s=3_600, alarms=[said.put])
    runner = web.AppRunner(receiver.build_app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    task = asyncio.create_task(receiver.watch())
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        task.cancel()
        await asyncio.wait([task])
        await runner.cleanup()


async def test_silence_is_an_alarm_and_a_watchdog_ends_it() -> None:
    said: asyncio.Queue[News] = asyncio.Queue()
    async with receiving(0.2, said) as url, ClientSession() as session, asyncio.timeout(30):
        assert (await said.get()).change == "alarm"
        async with session.get(f"{url}/health") as answer:
            assert (answer.status, (await answer.json())["alarmed"]) == (503, True)
        async with session.post(f"{url}/watchdog", json=FIRES) as answer:
            assert answer.status == 200
        assert (await said.get()).change == "clear"
        assert (await said.get()).change == "alarm"


async def test_signs_in_time_keep_it_quiet() -> None:
    said: asyncio.Queue[News] = asyncio.Queue()
    async with receiving(3_600, said) as url, ClientSession() as session:
        async with session.post(f"{url}/watchdog", json=FIRES) as answer:
            assert answer.status == 200
        async with session.get(f"{url}/health") as answer:
            assert (answer.status, (await answer.json())["alarmed"]) == (200, False)
        async with session.post(f"{url}/watchdog", json={"alerts": []}) as answer:
            assert answer.status == 400
    assert said.empty()


@pytest.mark.parametrize(
    ("status", "name", "is_sign"),
    [("firing", "Watchdog", True), ("resolved", "Watchdog", False), ("firing", "LineDown", False)],
)
def test_only_a_watchdog_that_fires_is_a_sign(status: str, name: str, is_sign: bool) -> None:
    other = {"status": "firing", "labels": {"alertname": "StoreDown"}}
    body = {"alerts": [other, {"status": status, "labels": {"alertname": name}}]}
    assert is_watchdog(json.dumps(body).encode()) == is_sign


@given(st.binary(max_size=200) | st.sampled_from([b"[]", b'{"alerts":[1]}', b'{"alerts":[{"status":[],"labels":{}}]}']))
def test_nothing_else_is_a_sign(body: bytes) -> None:
    assert not is_watchdog(body)
