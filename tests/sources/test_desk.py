import threading
from typing import Any

from flows.asks import Ask, AskError, KlinesAsk
from sources.desk import AskDesk
from sources.network import NetworkThread
from sources.rest import VenueError


def asked(handler: Any, ask: Ask) -> Any:
    """The answer to an ask."""
    network = NetworkThread()
    desk = AskDesk({KlinesAsk: handler}, network)
    came, answers = threading.Event(), list[Any]()

    def answer(what: Any) -> None:
        answers.append(what)
        came.set()

    desk("binance:BTCUSDT", ask, answer)
    assert came.wait(10)
    network.close()
    return answers[0]


ASK = KlinesAsk("BTCUSDT", "1m", 0, 0)


async def refused(_: Ask) -> None:
    raise VenueError("no such symbol", status=400)


async def away(_: Ask) -> None:
    raise VenueError("no network")


async def broken(_: Ask) -> None:
    raise ValueError("a bug")


async def served(ask: Ask) -> Any:
    return ("for", ask)


def test_an_ask_is_answered_by_the_handler_of_its_type() -> None:
    assert asked(served, ASK) == ("for", ASK)


def test_whatever_goes_wrong_the_answer_says_so() -> None:
    for handler, ask, text, lasting in (
        (refused, ASK, "no such symbol", True),
        (away, ASK, "no network", False),
        (broken, ASK, "a bug", False),
        (served, Ask("BTCUSDT"), "nobody answers Ask", True),
    ):
        error = asked(handler, ask)
        assert isinstance(error, AskError)
        assert text in str(error)
        assert error.lasting is lasting
