"""What faults change in the messages and answers of each venue."""

import json
from typing import Any, cast

import pytest

from sources.replay.faults.answers import ID_SHIFT, TIME_SHIFT_MS, wrong_body
from sources.replay.faults.books import MANY_LEVELS
from sources.replay.faults.budget import Budget
from sources.replay.faults.content_faults import (
    AlteringFault,
    BadBytes,
    BookForms,
    Foreign,
    Malformed,
    OddFrame,
    WrongBook,
    WrongId,
    WrongTime,
)
from sources.replay.faults.contents import alteration_of
from sources.replay.faults.forms import ID_JUMP, Forms
from sources.replay.faults.orders import AnswerForm, WrongAnswer
from sources.replay.faults.transforms import start_transform
from sources.replay.market.market import Message
from sources.replay.venues.coinbase.advanced_messages import AdvancedEncoding
from sources.replay.venues.coinbase.forms import FORMS as COINBASE
from sources.replay.venues.kraken.forms import FORMS as KRAKEN

BOOK = Message(
    0,
    "BTC/USD@book-10",
    b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":100.5,"qty":2.00000000}],'
    b'"asks":[],"checksum":4294967295,"timestamp":"2026-01-02T00:00:00.200000Z"}]}',
)
CHANGE = Message(
    0,
    "BTC-USD@level2",
    b'{"channel":"l2_data","timestamp":"2026-01-02T00:00:01.400000000Z","events":[{"type":"update",'
    b'"product_id":"BTC-USD","updates":[{"side":"offer","event_time":"2026-01-02T00:00:01.400000Z",'
    b'"price_level":"100.5","new_quantity":"2.5"}]}]}',
)
UPDATE = Message(
    0,
    "BTC-USD@level2_batch",
    b'{"type":"l2update","product_id":"BTC-USD","changes":[["sell","100.5","2.5"]],"time":"2026-01-02T00:00:01.4000Z"}',
)
MATCH = Message(0, "BTC-USD@matches", b'{"type":"match","trade_id":7,"product_id":"BTC-USD","time":"x"}')
BATCH = Message(
    0, "BTC-USD@market_trades",
    b'{"channel":"market_trades","events":[{"trades":[{"product_id":"BTC-USD","trade_id":"7","side":"BUY"}]}]}',
)  # fmt: skip
HEARTBEAT = Message(0, "heartbeat", b'{"channel":"heartbeat"}')


def wrong(fault: AlteringFault, message: Message, forms: Forms) -> Any:
    (one,) = alteration_of(fault, forms)(message)
    return json.loads(one.data)


def level(form: BookForms, message: Message, forms: Forms, *path: str | int) -> Any:
    found = wrong(WrongBook(form=form), message, forms)
    for place in path:
        found = found[place]
    return found


def test_books_of_kraken() -> None:
    bids = ("data", 0, "bids")
    true = {"price": 100.5, "qty": 2.0}
    assert level("crossed", BOOK, KRAKEN, *bids) == [{"price": 100500, "qty": 1}, true]
    assert level("negative", BOOK, KRAKEN, *bids) == [{"price": 100.5, "qty": -1}]
    assert level("huge", BOOK, KRAKEN, *bids) == [{"price": 100.5, "qty": 1e300}]
    assert level("doubled", BOOK, KRAKEN, *bids) == [{"price": 100.5, "qty": 4}]
    many = level("many", BOOK, KRAKEN, "data", 0)
    assert [len(many["bids"]), len(many["asks"])] == [MANY_LEVELS] * 2
    assert many["bids"][1] == {"price": 2.5, "qty": 1}
    assert level("jump", BOOK, KRAKEN, "data", 0, "checksum") == ID_JUMP - 1
    assert level("reversed", BOOK, KRAKEN, "data", 0, "timestamp") == "2026-01-01T00:00:00.200000Z"
    assert [*alteration_of(WrongBook(), KRAKEN)(HEARTBEAT)] == []


def test_books_of_coinbase() -> None:
    updates = ("events", 0, "updates")
    (true,) = json.loads(CHANGE.data)["events"][0]["updates"]
    bid = true | {"side": "bid", "price_level": "100500.0", "new_quantity": "1.00000000"}
    assert level("crossed", CHANGE, COINBASE, *updates) == [bid, true]
    assert level("crossed", UPDATE, COINBASE, "changes")[0] == ["buy", "100500.0", "1.00000000"]
    assert level("negative", CHANGE, COINBASE, *updates) == [true | {"new_quantity": "-1.00000000"}]
    assert level("huge", UPDATE, COINBASE, "changes") == [["sell", "100.5", "1e300"]]
    assert level("doubled", CHANGE, COINBASE, *updates) == [true | {"new_quantity": "5.0"}]
    many = level("many", CHANGE, COINBASE, *updates)
    assert (len(many), many[0]["price_level"], many[0]["event_time"]) == (MANY_LEVELS, "1.5", true["event_time"])
    assert level("reversed", CHANGE, COINBASE, *updates, 0, "event_time") == "2026-01-01T00:00:01.400000Z"
    assert [*alteration_of(WrongBook(form="jump"), COINBASE)(UPDATE)] == []
    connection = AdvancedEncoding()
    (jumped,) = alteration_of(WrongBook(form="jump"), COINBASE)(CHANGE._replace(numbers={connection: 3}))
    assert b'"sequence_num":%d,' % (ID_JUMP + 3) in connection.frame(jumped)


@pytest.mark.parametrize(
    ("message", "forms", "path"),
    [
        (BOOK, KRAKEN, ("data", 0, "symbol")),
        (CHANGE, COINBASE, ("events", 0, "product_id")),
        (BATCH, COINBASE, ("events", 0, "trades", 0, "product_id")),
        (MATCH, COINBASE, ("product_id",)),
    ],
)
def test_foreign_messages_name_another_instrument(message: Message, forms: Forms, path: tuple[Any, ...]) -> None:
    made = [*alteration_of(Foreign(symbol='<b>"{n}', messages=2), forms)(message)]
    found = [json.loads(one.data) for one in made]
    for place in path:
        found = [one[place] for one in found]
    assert found == ['<b>"0', '<b>"1']
    assert [one.name for one in made] == [None, None]
    assert [*alteration_of(Foreign(symbol="x", rewrites="stream"), forms)(message)] == []
    assert [*alteration_of(Foreign(symbol="x"), forms)(HEARTBEAT)] == []


def test_odd_frames_and_bytes_are_without_an_envelope() -> None:
    (two,) = alteration_of(OddFrame(form="two"), KRAKEN)(BOOK)
    assert two.frame == BOOK.data * 2
    (begun,) = alteration_of(BadBytes(where="begin"), COINBASE)(MATCH)
    assert begun.frame == b"\xff" + MATCH.data
    (value,) = alteration_of(BadBytes(), KRAKEN)(BOOK)
    assert value.data == BOOK.data.replace(b'"BTC/USD', b'"\xffBTC/USD')
    assert [*alteration_of(BadBytes(where="stream"), KRAKEN)(BOOK)] == []
    (number,) = alteration_of(Malformed(form="nan"), KRAKEN)(BOOK)
    assert number.data == BOOK.data.replace(b"100.5", b"NaN")


def test_times_and_ids_are_wrong_in_the_venues_own_form() -> None:
    day = WrongTime(by_ms=86_400_000)
    assert wrong(day, BOOK, KRAKEN)["data"][0]["timestamp"] == "2026-01-03T00:00:00.200000Z"
    assert wrong(day, CHANGE, COINBASE)["timestamp"] == "2026-01-03T00:00:01.400000000Z"
    assert [*alteration_of(day, COINBASE)(MATCH)] == []
    assert [*alteration_of(WrongTime(by_ms=2**60), COINBASE)(CHANGE)] == []
    other = WrongId(fields=("events.*.trades.*.trade_id",), by=5)
    assert wrong(other, BATCH, COINBASE)["events"][0]["trades"][0]["trade_id"] == "12"


def test_an_added_message_has_a_number_of_its_own() -> None:
    connection = AdvancedEncoding()

    def numbers_of(fault: AlteringFault) -> list[int]:
        true = CHANGE._replace(numbers={connection: connection.take()})
        sent = start_transform(fault, Budget(lambda: 0.0), COINBASE).on_message(true)
        frames = [connection.frame(one).partition(b'"sequence_num":')[2] for one in sent]
        return [int(frame.partition(b",")[0]) for frame in frames if frame]

    assert numbers_of(Foreign(symbol="x", messages=2)) == [0, 1, 2]
    assert numbers_of(OddFrame(form="list", insert=True)) == [3]
    assert numbers_of(OddFrame(form="two", insert=True)) == [4, 5]
    assert numbers_of(WrongBook(form="crossed")) == [6]
    assert b'"sequence_num":7,' in connection.numbered(b'{"events":[]}')


TRADES = {"error": [], "result": {"XXBTZUSD": [["1", "2", 5.5, "b", "l", "", 9]], "last": "1000000000"}}
CANDLES = [[60, 1.0, 2.0, 1.5, 1.6, 4.0]]
SHIFT_S = TIME_SHIFT_MS // 1_000


def answer(form: str, body: Any, forms: Forms) -> Any:
    return json.loads(wrong_body(WrongAnswer(form=cast("AnswerForm", form)), body, forms).body)


def test_answers_are_wrong_in_the_venues_own_form() -> None:
    result = answer("times", TRADES, KRAKEN)["result"]
    assert result["XXBTZUSD"] == [["1", "2", 5.5 + SHIFT_S, "b", "l", "", 9]]
    assert result["last"] == str((SHIFT_S + 1) * 10**9)
    assert answer("ids", TRADES, KRAKEN)["result"]["XXBTZUSD"][0][6] == 9 + ID_SHIFT
    assert answer("times", CANDLES, COINBASE) == [[60 + SHIFT_S, *CANDLES[0][1:]]]
    trade = {"trade_id": 9, "time": "2026-01-01T00:00:00.000000Z", "side": "buy"}
    assert answer("ids", [trade], COINBASE) == [trade | {"trade_id": 9 + ID_SHIFT}]
    assert answer("times", [trade], COINBASE) == [trade | {"time": "2027-02-05T00:00:00.000000Z"}]
    assert answer("types", [trade], COINBASE)[0]["trade_id"] == "9"
