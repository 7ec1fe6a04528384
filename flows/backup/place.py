"""Where the stores of a deployment are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pymongo
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, PyMongoError

from flows.backup.manifest import BackupError
from flows.settings import Settings
from flows.settings.ports import bundled_port
from flows.supervision.deployment import trades_path
from flows.supervision.spec import MONGO
from flows.texts import database_reason
from sinks.mongo.writer import ANSWER_TIMEOUT_S, MongoAddressError, open_client
from sinks.mongod.bundled import MongodError
from sinks.mongod.server import running_mongod


class Place(NamedTuple):
    """The stores of the deployment in `folder`; None for one that is switched off."""

    folder: Path
    trades: Path | None
    settings: Settings


def place_of(settings: Settings, folder: Path) -> Place:
    """The same places as those of a deployment that is started with this folder."""
    return Place(folder, trades_path(settings, folder) if settings.trades.enabled else None, settings)


@contextmanager
def database_of(place: Place, *, is_new: bool) -> Iterator[Database[dict[str, Any]] | None]:
    """The database; None where it is switched off. The bundled server is started where it does not run; without
    `is_new` only over data that is there. `BackupError` when it does not answer.
    """
    if not place.settings.mongo.enabled:
        yield None
        return
    try:
        with open_client(place.settings.mongo) as client:
            if _answers(client):
                yield client[place.settings.mongo.database]
                return
        port, path = bundled_port(place.settings), place.folder / MONGO
        if port is None or not (is_new or (path / "WiredTiger").exists()):
            raise BackupError(f"mongo.uri: no MongoDB answers, and {path} holds none: start it, or name its folder")
        with running_mongod(path, port), open_client(place.settings.mongo) as client:
            yield client[place.settings.mongo.database]
    except (PyMongoError, MongoAddressError, MongodError) as error:
        raise BackupError(f"MongoDB: {database_reason(error)}") from error


def _answers(client: MongoClient[dict[str, Any]]) -> bool:
    try:
        with pymongo.timeout(ANSWER_TIMEOUT_S):
            client.admin.command("ping")
    except ConnectionFailure:
        return False
    return True
