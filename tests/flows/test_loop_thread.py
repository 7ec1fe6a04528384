import asyncio
import threading

import pytest

from flows.loop_thread import EventLoopThread


async def _name_of_thread() -> str:
    return threading.current_thread().name


def test_tasks_and_calls_run_on_a_thread_of_that_name_in_their_order() -> None:
    thread = EventLoopThread("mine")
    names: list[str] = []
    assert thread.start(_name_of_thread()).result(5) == "mine"
    thread.call(lambda: names.append(threading.current_thread().name))
    thread.start(_name_of_thread()).result(5)
    thread.close()
    assert names == ["mine"]


def test_a_close_cancels_what_runs_and_can_be_repeated() -> None:
    thread = EventLoopThread()
    ended = threading.Event()

    async def run() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    running = thread.start(run())
    thread.start(_name_of_thread()).result(5)
    thread.close()
    assert ended.is_set()
    assert running.cancelled()
    thread.close()


def test_nothing_is_called_where_nothing_was_started() -> None:
    thread = EventLoopThread()
    thread.call(pytest.fail, "called")
    thread.close()


def test_it_can_be_started_again_after_its_end() -> None:
    thread = EventLoopThread()
    for _ in range(2):
        assert thread.start(_name_of_thread()).result(5) == "network"
        thread.close()


async def test_it_can_be_ended_by_who_is_in_a_loop_himself() -> None:
    thread = EventLoopThread()
    assert thread.start(_name_of_thread()).result(5) == "network"
    thread.close()
