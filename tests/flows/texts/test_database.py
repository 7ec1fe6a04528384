"""Errors of MongoDB's driver, as people read them."""

import re

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from flows.texts import database_reason


def test_a_server_that_is_away_is_named_without_dumps() -> None:
    with (
        MongoClient[dict[str, object]]("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=1) as client,
        pytest.raises(PyMongoError, match="Topology Description") as away,
    ):
        client.admin.command("ping")
    assert re.fullmatch(r"127\.0\.0\.1:1: \[Errno \d+\] Connection refused", database_reason(away.value))


def test_a_refusal_is_in_one_line_without_the_servers_whole_answer() -> None:
    refusal = OperationFailure("not authorized\non admin", 13, {"ok": 0.0, "errmsg": "not authorized"})
    assert "full error" in str(refusal)
    assert database_reason(refusal) == "not authorized on admin"
