import threading
from typing import Any

from flows.queries import QueryError, RenewQuery
from flows.runtime.query_handlers import open_query_handlers
from flows.settings import Settings


def answer_of(query: RenewQuery, **parts: Any) -> Any:
    came, answers = threading.Event(), list[Any]()

    def answer(what: Any) -> None:
        answers.append(what)
        came.set()

    settings = Settings.model_validate({"mongo": {"enabled": False}, "trades": {"enabled": False}})
    handlers: Any = open_query_handlers(settings, **parts)
    handlers("binance:BTCUSDT", query, answer)
    assert came.wait(10)
    handlers.close()
    return answers[0]


ASK = RenewQuery("BTCUSDT", ("aggTrade",), "REST knows later trades")


def test_a_renewal_goes_to_the_source() -> None:
    renewed: list[tuple[Any, ...]] = []
    assert answer_of(ASK, renew=lambda *what: renewed.append(what)) is None
    assert renewed == [("BTCUSDT", ("aggTrade",), "REST knows later trades")]


def test_without_a_source_there_is_no_renewal() -> None:
    assert isinstance(answer_of(ASK), QueryError)
