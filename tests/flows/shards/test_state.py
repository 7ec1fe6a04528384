"""What a host keeps of a shard: its recovered state goes on only where nobody else had the shard meanwhile."""

import sqlite3
from contextlib import closing
from pathlib import Path

from flows.shards.machine import Taken
from flows.shards.state import Known, ShardFolder


def saved(folder: ShardFolder) -> None:
    """As if the engine had saved a state."""
    [file] = folder.recovery.glob("part-*.sqlite3")
    with closing(sqlite3.connect(file)) as database:
        database.execute("INSERT INTO snaps (step_id, state_key, snap_epoch) VALUES ('step', 'key', 1)")
        database.commit()


def has_state(folder: ShardFolder) -> bool:
    [file] = folder.recovery.glob("part-*.sqlite3")
    with closing(sqlite3.connect(file)) as database:
        return bool(database.execute("SELECT count(*) FROM snaps").fetchone()[0])


def test_the_state_goes_on_where_the_same_host_had_the_epoch_before(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path / "1of2")
    assert folder.known() is None
    assert folder.enter(Taken("1of2", 1, 0, 0), 500) == Known(1, 500)
    assert folder.enter(Taken("1of2", 2, 1, 900), 800) == Known(2, 500)  # nothing was saved: it begins where it did
    saved(folder)
    assert folder.enter(Taken("1of2", 3, 2, 1_900), 1_800) == Known(3, 0)
    assert has_state(folder)


def test_the_state_is_dropped_where_another_one_had_the_shard(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path / "1of2")
    folder.enter(Taken("1of2", 1, 0, 0), 500)
    saved(folder)
    assert folder.enter(Taken("1of2", 3, 2, 1_900), 1_800) == Known(3, 1_800)
    assert not has_state(folder)


def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path)
    folder.enter(Taken("1of2", 1, 0, 0), 500)
    saved(folder)
    (tmp_path / "epoch.json").write_text("{")
    assert folder.enter(Taken("1of2", 2, 1, 900), 800) == Known(2, 800)
    assert not has_state(folder)
