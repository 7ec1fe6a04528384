"""Every event in the log about a connection names its venue and its line."""

import ast
from pathlib import Path

import pytest

import sources.connection

PATHS = sorted(Path(sources.connection.__file__).parent.glob("*.py"))


def unnamed(source: str) -> list[int]:
    """Lines of the calls of a log without the two; fields that come as a mapping count as both."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    logged = [call for call in calls if ast.unparse(call.func).startswith("_log.")]
    named = [{keyword.arg for keyword in call.keywords} for call in logged]
    return [
        call.lineno
        for call, names in zip(logged, named, strict=True)
        if not (None in names or {"venue", "line"} <= names)
    ]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_what_happens_to_a_connection_is_logged_with_venue_and_line(path: Path) -> None:
    assert unnamed(path.read_text()) == []


def test_an_event_without_one_of_them_is_found() -> None:
    assert unnamed(
        '_log.info("a", line=1)\n_log.error("b", venue=v, line=1)\n_log.info("c", **who)\n_log.debug("d")'
    ) == [1, 4]
