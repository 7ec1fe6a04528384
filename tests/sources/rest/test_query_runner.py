import asyncio
import threading
from collections.abc import Awaitable, Callable
from queue import Queue
from typing import Any

import pytest

from flows.loop_thread import EventLoopThread
from flows.queries import KlinesQuery, Query, QueryError
from sources.rest.client import VenueError
from sources.rest.query_runner import MOST_OPEN, QueryDispatcher


def asked(handler: Any, query: Query) -> Any:
    """The answer to a query."""
    network = EventLoopThread()
    desk = QueryDispatcher({KlinesQuery: handler}, network)
    came, answers = threading.Event(), list[Any]()

    def answer(what: Any) -> None:
        answers.append(what)
        came.set()

    desk("binance:BTCUSDT", query, answer)
    assert came.wait(10)
    network.close()
    return answers[0]


ASK = KlinesQuery("BTCUSDT", "1m", 0, 0)


async def refused(_: Query) -> None:
    raise VenueError("no such symbol", status=400)


async def away(_: Query) -> None:
    raise VenueError("no network")


async def broken(_: Query) -> None:
    raise ValueError("a bug")


async def served(query: Query) -> Any:
    return ("for", query)


def never(begun: threading.Event) -> Callable[[Query], Awaitable[None]]:
    """A handler that gives no answer, and says when it was asked."""

    async def handle(_: Query) -> None:
        begun.set()
        await asyncio.Event().wait()

    return handle


def test_an_ask_is_answered_by_the_handler_of_its_type() -> None:
    assert asked(served, ASK) == ("for", ASK)


def test_whatever_goes_wrong_the_answer_says_so() -> None:
    for handler, query, text, lasting in (
        (refused, ASK, "no such symbol", True),
        (away, ASK, "no network", False),
        (broken, ASK, "a bug", False),
        (served, Query("BTCUSDT"), "no handler for Query", True),
    ):
        error = asked(handler, query)
        assert isinstance(error, QueryError)
        assert text in str(error)
        assert error.lasting is lasting


def test_a_malformed_answer_is_no_reason_to_give_up() -> None:
    async def garbled(_: Query) -> None:
        raise VenueError("not what it should be", status=200)

    assert asked(garbled, ASK).lasting is False


def test_the_end_answers_what_is_open_and_refuses_what_comes() -> None:
    begun = threading.Event()
    answers: Queue[Any] = Queue()

    network = EventLoopThread()
    desk = QueryDispatcher({KlinesQuery: never(begun)}, network)
    desk("binance:BTCUSDT", ASK, answers.put)
    assert begun.wait(10)
    desk.close()
    desk("binance:ETHUSDT", ASK, answers.put)
    desk.close()
    server_used = {str(answers.get(timeout=10)) for _ in range(2)}
    assert server_used == {
        "binance:BTCUSDT: the process is ending, no answer yet",
        "binance:ETHUSDT: queries are closed, the process is ending",
    }
    network.close()
    assert answers.empty()


def test_the_end_of_the_network_answers_too() -> None:
    begun = threading.Event()
    answers: Queue[Any] = Queue()

    network = EventLoopThread()
    QueryDispatcher({KlinesQuery: never(begun)}, network)("binance:BTCUSDT", ASK, answers.put)
    assert begun.wait(10)
    network.close()
    assert "the process is ending, no answer yet" in str(answers.get(timeout=10))


@pytest.mark.slow
def test_too_many_open_asks_are_refused_for_now() -> None:
    answers: Queue[Any] = Queue()

    network = EventLoopThread()
    desk = QueryDispatcher({KlinesQuery: never(threading.Event())}, network)
    for _ in range(MOST_OPEN + 1):
        desk("binance:BTCUSDT", ASK, answers.put)
    refused_ask = answers.get(timeout=10)
    assert (str(refused_ask), refused_ask.lasting) == (
        f"binance:BTCUSDT: {MOST_OPEN} queries are open already",
        False,
    )
    assert answers.empty()
    desk.close()
    network.close()
