from pathlib import Path

import pytest

from flows.backup.manifest import BackupError
from flows.backup.place import database_of, place_of
from flows.settings import Mongo, Settings, Trades
from tests.fakes.deployment import free_port


def test_the_stores_are_where_a_deployment_with_this_folder_has_them(tmp_path: Path) -> None:
    assert place_of(Settings(), tmp_path).trades == tmp_path / "trades"
    assert place_of(Settings(trades=Trades(path=Path("elsewhere"))), tmp_path).trades == Path("elsewhere")
    assert place_of(Settings(trades=Trades(enabled=False)), tmp_path).trades is None


def test_a_database_that_is_switched_off_is_none(tmp_path: Path) -> None:
    with database_of(place_of(Settings(mongo=Mongo(enabled=False)), tmp_path), is_new=True) as database:
        assert database is None


@pytest.mark.slow
def test_the_bundled_server_is_started_where_its_data_is_or_is_to_be(tmp_path: Path) -> None:
    place = place_of(Settings(mongo=Mongo(uri=f"mongodb://127.0.0.1:{free_port()}")), tmp_path)
    with pytest.raises(BackupError, match=r"mongo\.uri"), database_of(place, is_new=False):
        pass
    assert not (tmp_path / "mongo").exists()
    with database_of(place, is_new=True) as database:
        assert database is not None
        database["kept"].insert_one({"_id": 1})
    with database_of(place, is_new=False) as database:
        assert database is not None
        assert database["kept"].find_one() == {"_id": 1}
