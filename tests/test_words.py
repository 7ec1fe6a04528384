"""The words of the code are those of the field: docs/glossary.md. What users read (texts of errors and incidents) is
sentences and stays out of this.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = sorted(path for folder in ("flows", "sources", "sinks", "api") for path in (ROOT / folder).rglob("*.py"))
OLD_WORDS = frozenset(
    [
        "anybody",
        "attendant",
        "audience",
        "clerk",
        "departed",
        "everybody",
        "heard",
        "hear",
        "hears",
        "hole",
        "holes",
        "intake",
        "knock",
        "laps",
        "misfits",
        "mischief",
        "nobody",
        "petitioner",
        "reel",
        "reels",
        "seat",
        "somebody",
        "strips",
        "tally",
        "tampering",
        "tether",
        "told",
        "whoever",
        "wish",
        "wished",
        "wishes",
    ]
)
"""Words of a private dialect that once stood for query, gap, subscription, timeline, throttle and the like."""
_WORD = re.compile(r"[A-Za-z]+")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_EVENT = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
_LOGS = ("log", "_log")


def texts_of(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every comment, docstring and name."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
        elif token.type == tokenize.NAME:
            yield token.start[0], " ".join(_PART.findall(token.string))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def old_words(source: str) -> list[tuple[int, str]]:
    """Where an old word stands."""
    return [
        (line, word) for line, text in texts_of(source) for word in _WORD.findall(text) if word.lower() in OLD_WORDS
    ]


def events_of(source: str) -> Iterator[tuple[int, str]]:
    """Line and event of every call of a log; empty for one that is neither a text nor the name of a constant."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS):
            continue
        log = node.func.value
        name = log.id if isinstance(log, ast.Name) else log.attr if isinstance(log, ast.Attribute) else ""
        if name not in _LOGS:
            continue
        match node.args:
            case [ast.Constant(value=str(event)), *_]:
                yield node.lineno, event
            case [ast.Name(id=constant), *_] if constant.isupper():
                yield node.lineno, constant.lower()
            case _:
                yield node.lineno, ""


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_code_speaks_the_language_of_the_field(path: Path) -> None:
    source = path.read_text()
    found = old_words(source)
    if "verification" in path.parts:  # its report calls missing trades a hole
        found = [(line, word) for line, word in found if word not in ("hole", "holes")]
    assert found == []
    assert [(line, event) for line, event in events_of(source) if not _EVENT.fullmatch(event)] == []


def test_an_old_word_and_a_sentence_in_the_log_are_found() -> None:
    found = old_words('def wishOf():\n    """Nobody asks."""\n    return told_by  # a hole\n')
    assert sorted(found) == [(1, "wish"), (2, "Nobody"), (3, "hole"), (3, "told")]
    assert list(events_of('_log.info("line down")\nself._log.error(f"{x}")\nlog.debug("line_down", a=1)\n')) == [
        (1, "line down"), (2, ""), (3, "line_down"),
    ]  # fmt: skip
