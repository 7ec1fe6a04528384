from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.settings import Heartbeat, Log
from flows.settings.values import as_written, check_timeframes, is_host, is_loopback, may_be_folder, share_of


@pytest.mark.parametrize(
    ("text", "host", "loopback"),
    [
        ("127.0.0.1", True, True),
        ("127.9.9.9", True, True),
        ("::1", True, True),
        ("localhost", True, True),
        ("LOCALHOST", True, True),
        ("0.0.0.0", True, False),
        ("replay_exchange", True, False),
        ("stream.binance.com", True, False),
        ("localhost.evil.example", True, False),
        ("127.0.0.300", False, False),
        ("1234", False, False),
        ("a..b", False, False),
        ("-a", False, False),
        ("a b", False, False),
        ("a\n", False, False),
        ("", False, False),
        ("x" * 254, False, False),
    ],
)
def test_hosts(text: str, *, host: bool, loopback: bool) -> None:
    assert (is_host(text), is_loopback(text)) == (host, loopback)


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        ("A,B", tuple[str, ...], ["A", "B"]),
        ("A,B", str, "A,B"),
        ("1m=7", dict[str, int], {"1m": "7"}),
        ("A", tuple[str, ...] | None, ["A"]),
        (("A",), tuple[str, ...], ("A",)),
        (True, bool | None, True),
        (3, int, 3),
    ],
)
def test_a_value_is_read_as_it_is_written(value: Any, kind: Any, read: Any) -> None:
    assert as_written(value, kind) == read


@pytest.mark.parametrize(("value", "kind"), [(True, int), (False, float), (True, int | None), ({"a": True}, dict)])
def test_true_and_false_are_no_numbers(value: Any, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"write (a )?number"):
        as_written(value, kind)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    paths = [tmp_path, tmp_path / "new", tmp_path / "file", tmp_path / ("x" * 300)]
    assert [may_be_folder(path) for path in paths] == [True, True, False, False]


def test_the_logs_file_is_a_file_of_each_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Log(file=tmp_path / "new" / "it.log").file_of("api") == tmp_path / "new" / "it-api.log"
    assert Log().file_of("api") is None
    for wrong in (tmp_path, tmp_path / "file" / "it.log", Path("/"), tmp_path / ("x" * 300) / "it.log"):
        with pytest.raises(ValueError, match="write the name of a file"):
            Log(file=wrong)


@pytest.mark.parametrize("text", ["", "status.example.com", "ftp://status.example.com", "https://a b", "https://x:0/"])
def test_a_heartbeat_goes_to_an_address(text: str) -> None:
    assert Heartbeat(url="https://status.example.com/ping/my-id?status=up").url
    with pytest.raises(ValueError, match="write an address such as https://"):
        Heartbeat(url=text)


def test_timeframes_have_lengths_that_differ() -> None:
    assert check_timeframes(["1h", "5m"]) == {"1h": 3_600_000, "5m": 300_000}
    for names in (["1m", "1m"], ["60s", "1m"], ["24h", "1h", "1d"]):
        with pytest.raises(ValueError, match=r"stands there twice|are the same length"):
            check_timeframes(names)


@given(st.integers(1, 9_999), st.integers(1, 9_999))
def test_a_share_is_one_of_so_many(index: int, count: int) -> None:
    if index <= count:
        assert share_of(f"{index}/{count}") == (index, count)
    else:
        with pytest.raises(ValueError, match="is no share"):
            share_of(f"{index}/{count}")


@pytest.mark.parametrize("text", ["", "1", "1/", "/1", "0/1", "1/1/1", "-1/2", "1/2\n", " 1/2", "²/3", "1/99999"])
def test_anything_else_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="write i/N with 1 <= i <= N"):
        share_of(text)
