import asyncio

import pytest

from api.services import _end
from api.stores.mongo import MongoStore
from flows.settings import Mongo


async def test_the_end_waits_for_open_calls_and_blocks_later_ones() -> None:
    mongo = MongoStore(Mongo(uri="mongodb://127.0.0.1:9"), timeout_s=60)
    mongo.watch.report(up=True)
    inside, may_leave, left = asyncio.Event(), asyncio.Event(), list[str]()

    async def use(name: str) -> None:
        async with mongo.guarded():
            inside.set()
            await may_leave.wait()
            left.append(name)

    early = asyncio.create_task(use("early"))
    await inside.wait()
    draining = asyncio.create_task(mongo.drain())
    await asyncio.sleep(0)
    late = asyncio.create_task(use("late"))
    await asyncio.sleep(0)
    assert not draining.done()
    may_leave.set()
    await asyncio.gather(early, draining)
    await _end(late)
    await mongo.close()
    assert left == ["early"]


async def test_a_task_that_failed_is_not_forgotten() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError):
        await _end(task)
