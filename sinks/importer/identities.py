"""Which stores an import writes to: one that was lost and made anew has the old one's place, and another identity."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from sinks.mongo.documents import MARKET_DATA

CANDLES = "candles"
"""Name of the candles among the stores."""
_EXISTS = 48
"""MongoDB's code for a collection that exists already."""


def identities_of(database: Database[dict[str, Any]] | None, partitions: Iterable[Path]) -> dict[str, str]:
    """The identity of the candles of a database and of each partition of trades by its name; empty for one that does
    not exist yet. `PyMongoError` when the server does not answer.
    """
    found = {} if database is None else {CANDLES: _of_candles(database)}
    return found | {path.name: _of_partition(path) for path in partitions}


def make_candles(database: Database[dict[str, Any]]) -> None:
    """Creates the collection of candles, if need be: from then on it has an identity."""
    try:
        database.command("create", MARKET_DATA)
    except OperationFailure as error:
        if error.code != _EXISTS:
            raise


def _of_candles(database: Database[dict[str, Any]]) -> str:
    """The server gives a collection a new one whenever it creates it."""
    for collection in database.list_collections(filter={"name": MARKET_DATA}):
        return bytes(collection["info"]["uuid"]).hex()
    return ""


def _of_partition(path: Path) -> str:
    """RocksDB writes one when it creates a database."""
    try:
        return (path / "IDENTITY").read_text(errors="replace").strip()
    except OSError:
        return ""
