import asyncio

import pytest

from api import services
from api.services import _end


async def test_a_cancellation_that_is_not_heeded_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "HEED_S", 0.01)
    heard = 0

    async def stubborn() -> None:
        nonlocal heard
        while heard < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await _end(task)
    assert (task.done(), heard) == (True, 3)


async def test_a_task_that_failed_is_not_forgotten() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError):
        await _end(task)
