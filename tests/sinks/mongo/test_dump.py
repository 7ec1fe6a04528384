from pathlib import Path
from typing import Any

import bson
import pytest
import zstandard
from bson.errors import BSONError
from pymongo.database import Database

from sinks.mongo.dump import (
    LEFT_OUT,
    TEMPORARY,
    documents,
    drop_temporary,
    dump,
    dumped_names,
    fill,
    indexes_of,
    publish,
)

DOCUMENTS: list[dict[str, Any]] = [
    {"_id": number, "text": "é" * number, "deep": {"a": [1.5, None]}} for number in range(2_500)
]


def test_a_collection_is_a_file_of_bson(mongo_database: Database[dict[str, Any]], tmp_path: Path) -> None:
    mongo_database["some"].insert_many(DOCUMENTS)
    batches: list[int] = []
    file = tmp_path / "some.bson.zst"
    assert dump(mongo_database["some"], file, where=None, on_documents=batches.append) == len(DOCUMENTS) == sum(batches)
    plain = zstandard.ZstdDecompressor().stream_reader(file.read_bytes()).read()
    assert bson.decode_all(plain) == DOCUMENTS
    assert [bson.decode(document.raw) for document in documents(file)] == DOCUMENTS


def test_only_what_matches_is_dumped(mongo_database: Database[dict[str, Any]], tmp_path: Path) -> None:
    mongo_database["some"].insert_many(DOCUMENTS)
    where = {"_id": {"$gte": 2_490}}
    assert dump(mongo_database["some"], tmp_path / "f", where=where, on_documents=lambda _: None) == 10


def test_later_files_hold_newer_versions(mongo_database: Database[dict[str, Any]], tmp_path: Path) -> None:
    mongo_database["some"].insert_many([{"_id": 1}, {"_id": 2}])
    dump(mongo_database["some"], tmp_path / "first", where=None, on_documents=lambda _: None)
    mongo_database["some"].update_one({"_id": 2}, {"$set": {"new": True}})
    mongo_database["some"].insert_one({"_id": 3})
    dump(mongo_database["some"], tmp_path / "second", where={"_id": {"$gt": 1}}, on_documents=lambda _: None)
    files = [tmp_path / "first", tmp_path / "second"]
    assert fill(mongo_database, "other", files, on_documents=lambda _: None) == (3, 3)
    assert "other" not in mongo_database.list_collection_names()
    publish(mongo_database, "other", [])
    assert list(mongo_database["other"].find({}, sort=[("_id", 1)])) == [
        {"_id": 1},
        {"_id": 2, "new": True},
        {"_id": 3},
    ]


def test_indexes_come_with_it_also_without_documents(mongo_database: Database[dict[str, Any]]) -> None:
    mongo_database["some"].create_index("at", name="expiry", expireAfterSeconds=7)
    mongo_database["some"].create_index([("a", 1), ("b", -1)], name="both", unique=True)
    publish(mongo_database, "other", indexes_of(mongo_database["some"]))
    assert mongo_database["other"].index_information() == mongo_database["some"].index_information()


def test_what_belongs_to_one_database_is_left_out(mongo_database: Database[dict[str, Any]]) -> None:
    for name in ("some", f"{TEMPORARY}some", *LEFT_OUT):
        mongo_database[name].insert_one({})
    assert dumped_names(mongo_database) == ["some"]
    drop_temporary(mongo_database)
    assert set(mongo_database.list_collection_names()) == {"some", *LEFT_OUT}


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(zstandard.ZstdCompressor().compress(bson.encode({"a": 1})[:-3]))
    with pytest.raises(BSONError):
        list(documents(file))
    file.write_bytes(b"no zstd")
    with pytest.raises(zstandard.ZstdError):
        list(documents(file))
