"""Every command in a block for the shell, in README.md and docs/, is run, parsed, or named as a program of others."""

import re
from pathlib import Path

import pytest

from tests.fakes.documented import OTHERS, PAGES, SHELL, Kind, Line, documented, kind_of, languages, lines
from tests.fakes.understood import understand
from tests.marked import ROOT

_OURS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and path.name not in ("data", "dist"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_is_said_of_every_command_what_becomes_of_it(page: Path) -> None:
    assert languages(page) <= SHELL | OTHERS
    assert [line.text for line in documented(page) if line.kind is None] == []


def by_text(line: Line) -> str:
    return line.text


@pytest.mark.parametrize("line", lines(*Kind), ids=by_text)
def test_its_parser_understands_it(line: Line) -> None:
    for words in line.commands:
        if kind_of(words) is Kind.PARSES:
            understand(words)


@pytest.mark.parametrize("line", lines(Kind.FOREIGN), ids=by_text)
def test_the_files_that_a_program_of_others_gets_exist(line: Line) -> None:
    for word in (word for words in line.commands for word in words):
        for path in re.split("[=:]", word):
            if path.startswith(_OURS):
                assert (ROOT / path).exists(), path


def test_what_is_written_wrongly_is_not_understood() -> None:
    for text in (
        "make nonsense",
        "marketflow import --nonsense",
        "marketflow replay --nonsense",
        "python -m api.deadman --nonsense",
    ):
        with pytest.raises((Exception, SystemExit)):
            understand(text.split())
    assert kind_of(["nonsense"]) is None
    assert Line(ROOT, "marketflow status && nonsense").kind is None


def test_a_line_is_taken_apart_as_the_shell_does() -> None:
    line = Line(ROOT, "A=1 one --x='a | b' | two > out.txt && three <in")
    assert line.commands == [["one", "--x=a | b"], ["two"], ["three"]]
