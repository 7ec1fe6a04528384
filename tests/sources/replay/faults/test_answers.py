import json
from typing import Any

import pytest

from sources.replay.faults.answers import ID_SHIFT, NESTED_LEVELS, TIME_SHIFT_MS, wrong_body
from sources.replay.faults.orders import AnswerForm, WrongAnswer

TRADES = [{"a": 5, "p": "1.5", "q": "2.0", "f": 10, "l": 12, "T": 1_000, "m": True}]
KLINES = [[60_000, "1", "2", "0.5", "1.5", "4", 119_999, "6", 3, "1", "2", "0"]]


def decoded(form: AnswerForm, body: Any) -> Any:
    return json.loads(wrong_body(WrongAnswer(form=form), body).body)


def test_rows_of_another_time() -> None:
    assert decoded("times", TRADES) == [TRADES[0] | {"T": 1_000 + TIME_SHIFT_MS}]
    assert decoded("times", KLINES) == [
        [60_000 + TIME_SHIFT_MS, *KLINES[0][1:6], 119_999 + TIME_SHIFT_MS, *KLINES[0][7:]],
    ]
    assert decoded("times", {"serverTime": 5}) == {"serverTime": 5 + TIME_SHIFT_MS}


def test_rows_of_other_ids() -> None:
    assert decoded("ids", TRADES) == [TRADES[0] | {"a": 5 + ID_SHIFT, "f": 10 + ID_SHIFT, "l": 12 + ID_SHIFT}]
    assert decoded("ids", {"lastUpdateId": 1, "bids": []}) == {"lastUpdateId": 1 + ID_SHIFT, "bids": []}


def test_wrong_types_keep_the_shape() -> None:
    assert decoded("types", TRADES) == [{"a": "5", "p": 3, "q": 3, "f": "10", "l": "12", "T": "1000", "m": "yes"}]
    assert decoded("types", {"x": None, "y": [1.5]}) == {"x": {}, "y": ["1.5"]}


def test_bodies_that_cannot_be_read() -> None:
    true = json.dumps(TRADES, separators=(",", ":")).encode()
    bodies = {
        form: wrong_body(WrongAnswer(form=form), TRADES).body for form in ("cut", "empty", "null", "list", "twice")
    }  # type: dict[str, bytes]
    assert bodies == {"cut": true[: len(true) // 2], "empty": b"", "null": b"null", "list": b"[]", "twice": true + true}
    assert wrong_body(WrongAnswer(form="utf8"), TRADES).body == true.replace(b'"a"', b'"\xffa"')
    assert wrong_body(WrongAnswer(form="nested"), TRADES).body.count(b"[") == NESTED_LEVELS
    page = wrong_body(WrongAnswer(form="page"), TRADES)
    assert page.is_page
    assert page.body.startswith(b"<!DOCTYPE html>")


def test_bodies_that_never_end() -> None:
    true = json.dumps(TRADES, separators=(",", ":")).encode()
    assert wrong_body(WrongAnswer(form="endless"), TRADES)[:1] == (true,)
    assert wrong_body(WrongAnswer(form="endless"), TRADES).goes_on
    assert wrong_body(WrongAnswer(form="stalled"), TRADES) == (true[: len(true) // 2], False, b"")


def test_a_field_or_the_whole_body_may_say_anything() -> None:
    info = {"symbols": [{"symbol": "BTCUSDT", "status": "TRADING"}, {"symbol": "ETHUSDT", "status": "TRADING"}]}
    fault = WrongAnswer(form="field", field="symbols.*.status", json='"<script>"')
    rows = json.loads(wrong_body(fault, info).body)["symbols"]
    assert [row["status"] for row in rows] == ["<script>", "<script>"]
    assert json.loads(wrong_body(WrongAnswer(form="field", field="0.4", json="-1"), KLINES).body)[0][4] == -1
    assert wrong_body(WrongAnswer(form="text", text="hello"), KLINES).body == b"hello"
    with pytest.raises(ValueError, match="field goes with form"):
        WrongAnswer(field="x")
