import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.command.settings_file import file_text, shown, toml_value, uncommented
from flows.settings import Settings, load_settings
from flows.settings.meanings import meanings


def test_as_it_is_it_sets_nothing() -> None:
    assert tomllib.loads(file_text()) == {}


def test_uncommented_it_is_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "all.toml"
    path.write_text(uncommented(file_text()))
    monkeypatch.setenv("MARKETFLOW_CONFIG", str(path))
    settings = load_settings()
    assert settings == Settings.model_construct()
    written = tomllib.loads(path.read_text())
    for section, in_effect in Settings().in_sections.items():
        model: Any = type(in_effect)
        expected = {key for key, setting in model.model_fields.items() if setting.default is not None}
        assert set(written[section]) == expected == getattr(settings, section).model_fields_set


def test_every_setting_stands_there_with_its_description() -> None:
    words = " ".join(file_text().replace("\n#", "\n").split())
    for section in Settings().in_sections.values():
        model: Any = type(section)
        texts = meanings(model)
        for key in model.model_fields:
            assert " ".join(texts[key].split()) in words
            assert f"{key} = " in words or f"{key} is not set" in words


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc=. "), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(VALUES)
def test_a_value_is_read_back(value: Any) -> None:
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("token", "abc", "***"),
        ("token", None, None),
        ("uri", "mongodb://user:a%40b@host:1/x", "mongodb://***@host:1/x"),
        ("urls", ("ws://h/ws?token=abc&channels=Trade",), ["ws://h/ws?token=***&channels=Trade"]),
        ("path", Path("data/trades"), "data/trades"),
        ("days", {"1m": 7}, {"1m": 7}),
        ("symbols", ("BTCUSDT",), ["BTCUSDT"]),
        ("port", 80, 80),
    ],
)
def test_what_is_shown_of_a_value(key: str, value: Any, text: Any) -> None:
    assert shown(key, value) == text
