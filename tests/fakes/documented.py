"""The commands of README.md and docs/, as they stand in blocks for the shell, and what becomes of each in the tests."""

import re
import shlex
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from tests.marked import DOCS, README

PAGES: Final = (README, *sorted(DOCS.glob("*.md")))
SHELL: Final = frozenset(("sh", "bash", "console"))
OTHERS: Final = frozenset(("python", "mermaid", "json", "toml", "nginx", "caddy", "js", "csharp", "text"))
"""Languages of the blocks that hold no commands."""
FENCED: Final = re.compile(r"^[ ]*(?:```|~~~)([^\n]*)\n(.*?)^[ ]*(?:```|~~~)[ ]*$", re.MULTILINE | re.DOTALL)
_ENDS: Final = frozenset(("&&", "||", ";", "|", "&"))
_ASSIGNMENT: Final = re.compile(r"[A-Z_][A-Z0-9_]*=.*")


class Kind(Enum):
    """What becomes of a command."""

    RUNS = "it is run beside a demo, to its end"
    FOLLOWS = "it is run until it has written a line, and then interrupted"
    PARSES = "its own parser understands it"
    FOREIGN = "a program of others: the files of the repository that it names exist"


class Line(NamedTuple):
    """A line of a block, as one types it."""

    page: Path
    text: str
    """Without its comment."""

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command in it, without assignments before it and redirections behind it."""
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        commands: list[list[str]] = [[]]
        words = iter(lexer)
        for word in words:
            if word in _ENDS:
                commands.append([])
            elif set(word) <= set("<>&"):
                next(words)
            elif commands[-1] or not _ASSIGNMENT.fullmatch(word):
                commands[-1].append(word)
        return commands

    @property
    def kind(self) -> Kind | None:
        """What becomes of the line: it is run when any command in it is; None where nothing is said of one of them."""
        kinds = [kind_of(words) for words in self.commands]
        if None in kinds:
            return None
        return next(kind for kind in Kind if kind in kinds)


def languages(page: Path) -> set[str]:
    """Of all blocks of a page."""
    return {language.strip() for language, _ in FENCED.findall(page.read_text())}


def documented(page: Path) -> Iterator[Line]:
    """The lines of a page, in order, each once."""
    for language, block in FENCED.findall(page.read_text()):
        if language.strip() in SHELL:
            for text in block.replace("\\\n", " ").splitlines():
                if bare := _without_comment(text).removeprefix("$ ").strip():
                    yield Line(page, bare)


def _without_comment(text: str) -> str:
    """A `#` begins a comment where a word could begin, outside quotation marks."""
    quote = ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (place == 0 or text[place - 1].isspace()):
            return text[:place]
    return text


def lines(*kinds: Kind) -> list[Line]:
    """The lines of all pages of which this becomes, each text once."""
    found = {line.text: line for page in PAGES for line in documented(page) if line.kind in kinds}
    return list(found.values())


def kind_of(words: list[str]) -> Kind | None:
    """By the longest beginning of which something is said."""
    for length in range(len(words), 0, -1):
        if kind := KINDS.get(" ".join(words[:length])):
            return kind
    return None


_BY_KIND: Final = {
    Kind.RUNS: """
        marketflow --help; marketflow --version; marketflow --install-completion
        marketflow --show-completion
        marketflow status; marketflow health; marketflow verify; marketflow tail --channel Trade --count
        marketflow symbols; marketflow config; marketflow doctor; marketflow backup; marketflow --of data/demo
        marketflow export; marketflow lake; marketflow alerts; curl; python -m flows.recovery
        python notebooks/explore.py
    """,
    Kind.FOLLOWS: """
        marketflow tail; .venv/bin/websockets
    """,
    Kind.PARSES: """
        make; marketflow demo; marketflow run; marketflow import; marketflow record; marketflow replay; marketflow mcp
        marketflow notebook; marketflow restore; marketflow publish; marketflow status --url http://10.0.0.5:8080
        python -m bytewax.run; python -m api.deadman
    """,
    Kind.FOREIGN: """
        useradd; systemctl; journalctl; install; rsync; mv; python3.12 -m venv; /opt/marketflow/venv/bin/pip install
        prometheus; prometheus-alertmanager; jq; buildah; docker; kubectl; deploy/compose/secrets.sh
        .venv/bin/python -m pytest; pip install
    """,
}
"""Beginnings of commands."""
KINDS: Final = {
    " ".join(start.split()): kind
    for kind, text in _BY_KIND.items()
    for start in re.split(r"[;\n]", text)
    if start.strip()
}
