from pathlib import Path
from typing import Any

from pymongo.database import Database

from sinks.mongo.identity import IDENTITY, KnownDatabase, read_identity


def test_a_database_keeps_its_name_until_it_is_another(mongo_database: Database[dict[str, Any]]) -> None:
    name = read_identity(mongo_database, timeout_s=10)
    assert name == read_identity(mongo_database, timeout_s=10)
    mongo_database.drop_collection(IDENTITY)
    assert name != read_identity(mongo_database, timeout_s=10)


def test_another_database_is_noticed_also_by_the_next_life(tmp_path: Path) -> None:
    file = tmp_path / "database"
    known = KnownDatabase(file)
    assert [known.is_another(name) for name in ("one", "one", "two", "two")] == [False, False, True, False]
    again = KnownDatabase(file)
    assert [again.is_another(name) for name in ("two", "three")] == [False, True]


def test_without_a_file_it_is_known_for_this_life(tmp_path: Path) -> None:
    known = KnownDatabase(None)
    assert [known.is_another(name) for name in ("one", "two")] == [False, True]
    lost = KnownDatabase(tmp_path / "absent" / "database")
    assert [lost.is_another(name) for name in ("one", "two")] == [False, True]
