from pathlib import Path

from flows.recovery import prepare


def test_the_store_is_made_once_and_left_alone_afterwards(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "recovery"
    assert prepare(directory)
    [made] = directory.iterdir()
    content = made.read_bytes()
    assert not prepare(directory)
    assert [path.read_bytes() for path in directory.iterdir()] == [content]
