"""The file of settings in its three forms, and what is refused of each."""

from pathlib import Path

import pytest

from flows.settings import SettingsError
from flows.settings.files import file_settings, settings_file


def test_two_files_side_by_side_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("marketflow.toml", "marketflow.yaml"):
        (tmp_path / name).write_text("")
    with pytest.raises(SettingsError, match=r"marketflow\.toml and marketflow\.yaml are both in .*MARKETFLOW_CONFIG"):
        settings_file()
    monkeypatch.setenv("MARKETFLOW_CONFIG", "marketflow.yaml")
    assert settings_file() == tmp_path / "marketflow.yaml"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "feed:\n  symbols: [A, '$${B}']\nvenues:\n  binance-usdm:\n    5m: on\n"),
        ("a.yml", "{feed: {symbols: [A, '$${B}']}, venues: {binance-usdm: {5m: true}}}"),
        ("a.json", '{"feed": {"symbols": ["A", "$${B}"]}, "venues": {"binance-usdm": {"5m": true}}}'),
        ("a.toml", "[feed]\nsymbols = ['A', '$${B}']\n[venues.binance-usdm]\n5m = true\n"),
    ],
)
def test_all_forms_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    read = file_settings(tmp_path / name)
    assert read.values == {"feed": {"symbols": ["A", "${B}"]}, "venues.binance-usdm": {"5m": True}}


def test_lines_of_yaml_are_known(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("feed:\n  symbols: A\n\nvenues:\n  binance:\n    origin: live\n")
    read = file_settings(path)
    assert read.place_of("feed", "symbols") == f"{path}, line 2"
    assert read.place_of("venues.binance", "origin") == f"{path}, line 6"


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("a.json", '{"feed": {}, "feed": {}}', "'feed' stands there twice"),
        ("a.json", "[" * 100_000, "cannot be read"),
        ("a.json", "[]", "write a JSON object"),
        ("a.yaml", "feed:\n  a: 1\n  a: 2\n", "line 2: 'a' stands there twice"),
        ("a.yaml", "feed: &a {b: 1}\nhub: *a\n", "line 1: write the value itself, not an alias"),
        ("a.yaml", "feed: !!python/object:os.system {}\n", "cannot be read"),
        ("a.yaml", "[" * 100_000, "cannot be read"),
        ("a.yaml", "feed: [", "cannot be read"),
        ("a.yaml", "feed: 3\n", "feed: 3 ("),
        ("a.toml", "#" * (1 << 20) + "\n", "longer than"),
    ],
)
def test_what_is_refused_names_the_file(tmp_path: Path, name: str, text: str, error: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError) as caught:
        file_settings(tmp_path / name)
    assert error in str(caught.value)
    assert name in str(caught.value)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    for name in ("a.toml", "a.yaml"):
        (tmp_path / name).write_text("")
        assert file_settings(tmp_path / name).values == {}
