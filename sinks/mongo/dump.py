"""Collections as files of BSON documents, one after another and compressed by zstd: what `mongodump` writes, and what
`bsondump` and `mongorestore` read once it is decompressed.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import zstandard
from bson import CodecOptions, decode_file_iter
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database

from sinks.mongo.commands import REQUESTS
from sinks.mongo.identity import IDENTITY

LEFT_OUT: Final = frozenset((IDENTITY, REQUESTS))
"""A copy is another database and gets a name of its own; requests are for the flow that runs now."""
TEMPORARY: Final = "restoring_"
"""Prefix of collections that are not complete yet."""
BATCH: Final = 1_000
_LENGTH_BYTES: Final = 4
_RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(document_class=RawBSONDocument)

OnDocuments = Callable[[int], None]
"""Called with the number of documents of each batch."""


def dumped_names(database: Database[dict[str, Any]]) -> list[str]:
    """The collections that a copy of a database has, in alphabetical order. `PyMongoError` without an answer."""
    names = database.list_collection_names(filter={"type": "collection"})
    return sorted(name for name in names if name not in LEFT_OUT and not name.startswith((TEMPORARY, "system.")))


def indexes_of(collection: Collection[dict[str, Any]]) -> list[dict[str, Any]]:
    """The indexes beside that of `_id`, as `createIndexes` takes them."""
    found = (dict(index) for index in collection.list_indexes())
    return [
        {key: value for key, value in index.items() if key not in ("v", "ns")}
        for index in found
        if index["name"] != "_id_"
    ]


def dump(
    collection: Collection[dict[str, Any]], to: Path, *, where: Mapping[str, Any] | None, on_documents: OnDocuments
) -> int:
    """Writes the documents of a collection, or those that match, and returns their number. One that is written by
    others meanwhile is there once, in one of its versions. `PyMongoError` or `OSError` when that fails.
    """
    count = 0
    with to.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as out:
        for found_batch in collection.find_raw_batches(where or {}, batch_size=BATCH):
            batch = cast("bytes", found_batch)  # declared as documents
            out.write(batch)
            found = _documents_in(batch)
            on_documents(found)
            count += found
    return count


def _documents_in(batch: bytes) -> int:
    """Each document begins with its length."""
    place = count = 0
    while place < len(batch):
        place += int.from_bytes(batch[place : place + _LENGTH_BYTES], "little")
        count += 1
    return count


def documents(file: Path) -> Iterator[RawBSONDocument]:
    """The documents of a file. `bson.errors.InvalidBSON`, `zstandard.ZstdError` or `OSError` when it is damaged."""
    with file.open("rb") as source, zstandard.ZstdDecompressor().stream_reader(source) as reader:
        yield from decode_file_iter(io.BufferedReader(reader), _RAW)


def fill(
    database: Database[dict[str, Any]], name: str, files: Sequence[Path], *, on_documents: OnDocuments
) -> tuple[int, int]:
    """Fills the temporary collection of this name from files, of which later ones hold newer versions. Returns how many
    documents were new to it, and how many it has. What an earlier attempt has left there is dropped. `PyMongoError`
    when that fails.
    """
    collection = database.get_collection(
        f"{TEMPORARY}{name}", codec_options=_RAW, write_concern=WriteConcern(w="majority", j=True)
    )
    collection.drop()
    new = 0
    for number, file in enumerate(files):
        found = documents(file)
        while batch := list(islice(found, BATCH)):
            if number == 0:
                collection.insert_many(batch, ordered=False)
                new += len(batch)
            else:
                replaced: list[Any] = [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in batch]
                new += collection.bulk_write(replaced).upserted_count
            on_documents(len(batch))
    return new, collection.count_documents({})


def publish(database: Database[dict[str, Any]], name: str, indexes: Sequence[Mapping[str, Any]]) -> None:
    """Gives a temporary collection its indexes and its name. `PyMongoError` when that fails."""
    temporary = f"{TEMPORARY}{name}"
    if temporary not in database.list_collection_names():  # it had no documents
        database.create_collection(temporary)
    if indexes:
        database.command({"createIndexes": temporary, "indexes": [dict(index) for index in indexes]})
    database[temporary].rename(name, dropTarget=True)


def drop_temporary(database: Database[dict[str, Any]]) -> None:
    """Drops what `fill` has made and `publish` has not named."""
    for name in database.list_collection_names():
        if name.startswith(TEMPORARY):
            database.drop_collection(name)
