import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.settings.files import file_settings
from flows.settings.sources import SettingsError, environment, list_in, mapping_in

KNOWN = {"feed": ["symbols", "shard"], "hub": ["port", "token"]}


def test_variables_are_settings_of_their_sections_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_FEED__SYMBOLS", "A,B")
    monkeypatch.setenv("marketflow_hub__port", "1")
    monkeypatch.setenv("MARKETFLOW_HUB", '{"port": 2, "token": "x"}')
    written = environment(KNOWN)
    assert written.values == {"feed": {"symbols": "A,B"}, "hub": {"port": "1", "token": "x"}}
    assert written.place_of("feed", "symbols") == "MARKETFLOW_FEED__SYMBOLS"
    assert written.place_of("hub", "port") == "marketflow_hub__port"
    assert written.place_of("hub", "token") == "MARKETFLOW_HUB"
    assert written.place_of("feed", "shard") == ""


def test_a_value_may_stand_in_a_file_as_secrets_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "token"
    secret.write_bytes(b"hunter2\r\n")
    monkeypatch.setenv("MARKETFLOW_HUB__TOKEN_FILE", str(secret))
    monkeypatch.setenv("MARKETFLOW_HUB__PORT", "1")
    written = environment(KNOWN)
    assert written.values == {"hub": {"port": "1", "token": "hunter2"}}
    assert written.place_of("hub", "token") == "MARKETFLOW_HUB__TOKEN_FILE"


@pytest.mark.parametrize("other", ["MARKETFLOW_HUB__TOKEN", "MARKETFLOW_HUB"])
def test_a_value_that_is_there_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    (tmp_path / "token").write_text("hunter2")
    monkeypatch.setenv("MARKETFLOW_HUB__TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv(other, '{"token": "hunter1"}')
    with pytest.raises(SettingsError, match=rf"hub.token is set twice: by MARKETFLOW_HUB__TOKEN_FILE and {other}$"):
        environment(KNOWN)


@pytest.mark.parametrize("content", [None, b"\xff", b"x" * 70_000])
def test_a_file_of_a_value_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("MARKETFLOW_HUB__TOKEN_FILE", str(path))
    with pytest.raises(SettingsError, match=r"MARKETFLOW_HUB__TOKEN_FILE names .*token', which "):
        environment(KNOWN)


def test_a_file_of_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_HUB__TOKN_FILE", "/run/secrets/token")
    with pytest.raises(SettingsError, match="MARKETFLOW_HUB__TOKN_FILE is no setting; those of hub are port, token"):
        environment(KNOWN)


def test_a_file_is_read_with_the_lines_of_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "marketflow.toml"
    path.write_bytes(
        b"\xef\xbb\xbf# a comment\r\nfeed.shard = '1/2'\r\n[hub]\r\n\r\n'port' = 3\r\n[hub.deep]\r\nx = 1\r\n"
    )
    written = file_settings(path)
    assert written.values == {"feed": {"shard": "1/2"}, "hub": {"port": 3, "deep": {"x": 1}}}
    assert written.place_of("feed", "shard") == f"{path}, line 2"
    assert written.place_of("hub", "port") == f"{path}, line 5"
    assert written.place_of("hub", "deep") == f"{path}, line 6"
    assert written.place_of("hub", "") == f"{path}, line 3"


def test_a_file_that_is_not_there_has_no_settings(tmp_path: Path) -> None:
    assert file_settings(tmp_path / "marketflow.toml").values == {}


@given(st.binary(max_size=60))
def test_any_file_is_read_or_named(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "marketflow.toml"
    path.write_bytes(content)
    try:
        file_settings(path)
    except SettingsError as error:
        assert str(path) in str(error)


WORD = st.text(st.characters(categories=("Lu", "Nd")), min_size=1, max_size=8)


@given(st.lists(WORD, max_size=5))
def test_a_list_is_the_same_in_both_forms(words: list[str]) -> None:
    assert list_in(",".join(words)) == list_in(json.dumps(words)) == words


@given(st.dictionaries(WORD, WORD, max_size=5))
def test_a_mapping_is_the_same_in_both_forms(pairs: dict[str, str]) -> None:
    assert mapping_in(", ".join(f"{key}={value}" for key, value in pairs.items())) == pairs
    assert mapping_in(json.dumps(pairs)) == pairs


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (list_in, mapping_in):
        try:
            read(text)
        except ValueError as error:
            assert str(error)
