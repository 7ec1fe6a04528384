import pytest

from flows.modules.compiled import PLAIN, compiled, parts
from flows.settings.sources import environment


def test_what_was_not_compiled_is_plain_python_and_named() -> None:
    assert compiled("flows.operators.runs._missing") is None
    assert "missing" in parts()[1]


def test_what_was_compiled_of_older_sources_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLAIN, raising=False)
    assert compiled("flows.modules.compiled", "compiled") is not None
    assert compiled("flows.modules.compiled", "compiled", "added_later") is None
    assert "compiled" in parts()[1]


def test_compiled_parts_are_left_out_at_will(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAIN, "")
    assert compiled("flows.modules.compiled") is not None
    monkeypatch.setenv(PLAIN, "1")
    assert compiled("flows.modules.compiled") is None
    assert "compiled" in parts()[1]
    assert environment({"feed": ()}).values == {}, "it is no setting"
