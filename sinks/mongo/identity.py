"""Detects that another database answers than the one written before: without that, an empty one at the same address
would not get its missing candles.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymongo
import structlog
from pymongo import ReturnDocument
from pymongo.database import Database

log = structlog.get_logger(__name__)

IDENTITY = "identity"
"""Collection with one document: the name that a database keeps for ever."""
IDENTITY_FILE = "database"
"""Name of the file with the known name, beside the recovered state."""

OnReplaced = Callable[[], None]
"""Called when another database answers."""


def read_identity(database: Database[dict[str, Any]], *, timeout_s: float) -> str:
    """The name of a database; sets one if there is none. `PyMongoError` when the server does not answer."""
    with pymongo.timeout(timeout_s):
        found = database[IDENTITY].find_one_and_update(
            {"_id": IDENTITY},
            {"$setOnInsert": {"name": uuid4().hex}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
    return str(dict(found or {})["name"])


class KnownDatabase:
    """The name of the database written last, in this process and, with a file, in earlier ones."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._name = _read(file) if file else ""

    def is_another(self, name: str) -> bool:
        """Whether this is another database than the known one, which it replaces. The first one ever is not another."""
        known, self._name = self._name, name
        if known != name and self._file is not None:
            self._remember(self._file, name)
        return known not in ("", name)

    def _remember(self, file: Path, name: str) -> None:
        try:
            new = file.with_suffix(".new")
            new.write_text(name)
            new.replace(file)
        except OSError as error:
            log.warning("database_identity_not_remembered", file=str(file), reason=str(error))


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        log.warning("database_identity_unreadable", file=str(file), reason=str(error))
        return ""
