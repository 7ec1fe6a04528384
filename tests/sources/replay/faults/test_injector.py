import json

import pytest

from sources.replay.faults.budget import Budget
from sources.replay.faults.injector import MOST_FAULTS, MOST_STALE, FaultInjector
from sources.replay.faults.orders import (
    ClockSkew,
    Gap,
    Late,
    OddReply,
    Refuse,
    RefuseSubscribe,
    StaleDepth,
    WrongAnswer,
)
from sources.replay.protocol.subscriptions import Subscriptions
from tests.fakes.scripted_market import ScriptedMarket, trade_message, trade_messages


def injector_of_faults() -> FaultInjector:
    return FaultInjector(ScriptedMarket(), Budget(lambda: 0.0))


def test_faults_act_one_after_the_other_and_go_when_they_are_spent() -> None:
    injector = injector_of_faults()
    trades = trade_messages(4)
    injector.add(Gap(count=1))
    injector.add(Late(hold_messages=1))
    assert injector.on_messages(trades) == [trades[2], trades[1], trades[3]]
    assert injector.is_idle
    assert injector.report() == []


def test_clearing_gives_back_what_was_held() -> None:
    injector = injector_of_faults()
    trades = trade_messages(2)
    injector.add(Late(hold_messages=9))
    assert injector.on_messages(trades) == [trades[1]]
    assert injector.clear() == [trades[0]]
    assert injector.is_idle


def test_clock_skews_add_up() -> None:
    injector = injector_of_faults()
    injector.add(ClockSkew(by_ms=-2_000))
    injector.add(ClockSkew(by_ms=500))
    assert injector.skew_ms == -1_500
    (out,) = injector.on_messages(trade_messages(1))
    sent = json.loads(trade_message(0).data)
    assert json.loads(out.data) == sent | {"E": sent["E"] - 1_500}
    injector.clear()
    assert injector.skew_ms == 0
    assert injector.is_idle


def test_a_stale_book_is_cut_to_what_is_asked_for() -> None:
    injector = injector_of_faults()
    injector.add(StaleDepth(symbol="BTCUSDT"))
    book = injector.depth("BTCUSDT", 2)
    assert book is not None
    assert (len(book["bids"]), len(book["asks"])) == (2, 2)
    assert injector.depth("ETHUSDT", 2) is None


def test_a_stale_book_of_no_symbol_is_refused() -> None:
    injector = injector_of_faults()
    with pytest.raises(ValueError, match=r"NOPE.*BTCUSDT"):
        injector.add(StaleDepth(symbol="NOPE"))
    assert injector.is_idle


def test_refusals_are_spent_by_the_paths_they_name() -> None:
    injector = injector_of_faults()
    refused = Refuse(status=500, path="/api/v3/klines")
    injector.add(refused)
    assert injector.refusal("/api/v3/ping") is None
    assert injector.refusal("/api/v3/klines") == refused
    assert injector.refusal("/api/v3/klines") is None


def test_the_number_of_faults_is_bounded() -> None:
    injector = injector_of_faults()
    for _ in range(MOST_FAULTS):
        injector.add(Gap())
    with pytest.raises(ValueError, match="clear them first"):
        injector.add(Gap())


def test_the_number_of_kept_books_is_bounded() -> None:
    injector = injector_of_faults()
    for _ in range(MOST_STALE):
        injector.add(StaleDepth())
    with pytest.raises(ValueError, match="are kept already"):
        injector.add(StaleDepth())


def test_wrong_answers_are_spent_by_the_paths_they_name() -> None:
    injector = injector_of_faults()
    wrong = WrongAnswer(path="/api/v3/klines", count=2)
    injector.add(wrong)
    assert injector.wrong_answer("/api/v3/ping") is None
    assert injector.wrong_answer("/api/v3/klines") == wrong
    assert [one["left"] for one in injector.report()] == [1]
    assert injector.wrong_answer("/api/v3/klines") == wrong
    assert injector.wrong_answer("/api/v3/klines") is None
    assert injector.report() == []


def test_faults_of_replies_are_spent_by_the_requests_they_are_for() -> None:
    injector = injector_of_faults()
    client = Subscriptions(combined=True, streams=(), most=10)
    injector.add(RefuseSubscribe(stream="eth*", count=1, text="no"))
    injector.add(OddReply(text="odd"))
    asked = '{"method":"SUBSCRIBE","params":["ethusdt@trade"],"id":1}'
    assert injector.answer(client, '{"method":"LIST_SUBSCRIPTIONS","id":1}') == (b"odd",)
    assert injector.answer(client, asked) == (b'{"error":{"code":2,"msg":"no"},"id":1}',)
    assert injector.answer(client, asked) == (b'{"result":null,"id":1}',)
    assert client.streams == ("ethusdt@trade",)
    injector.add(RefuseSubscribe())
    injector.clear()
    assert injector.report() == []
